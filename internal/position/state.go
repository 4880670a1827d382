// Package position is a connector's position in the hands of an operator: what
// it is, what moving it means, and the move itself.
package position

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// FormatVersion is that of a State as JSON.
const FormatVersion = 1

// State is all that the offsets topic says of one connector's position.
type State struct {
	Connector string
	// Fresh tells that it has no position; the other fields are empty then.
	Fresh  bool
	Offset schemas.Offset
	// Minutes are the ids that are known to be published, by the start of the
	// minute in which their events were created; ascending, never changed.
	Minutes map[time.Time][]int64
}

// Read makes a State of the latest values of a connector's keys. The error wraps
// schemas.ErrVersion for what a newer version has written.
func Read(connector string, records map[string][]byte) (State, error) {
	s := State{Connector: connector, Fresh: true, Minutes: map[time.Time][]int64{}}
	for key, value := range records {
		k, err := schemas.ParseOffsetsKey([]byte(key))
		if err == nil && k.Connector != connector {
			err = fmt.Errorf("key %q belongs to another connector", key)
		}
		switch {
		case err != nil, k.Kind == schemas.OffsetsJob:
		case k.Kind == schemas.OffsetsMinute:
			s.Minutes[k.Minute], err = schemas.ParseMinute(value)
		default:
			s.Offset, err = schemas.ParseOffset(value)
			s.Fresh = false
		}
		if err != nil {
			return State{}, fmt.Errorf("reading the position of %s: %w", connector, err)
		}
	}
	if s.Fresh && len(s.Minutes) > 0 {
		return State{}, fmt.Errorf("reading the position of %s: %d minutes of ids without a position", connector, len(s.Minutes))
	}
	return s, nil
}

// Known is the number of ids in the window.
func (s *State) Known() (n int) {
	for _, ids := range s.Minutes {
		n += len(ids)
	}
	return n
}

// wireState is a State as JSON: the values are those of the topic.
type wireState struct {
	Version   int                        `json:"version"`
	Connector string                     `json:"connector"`
	Position  json.RawMessage            `json:"position"`
	Minutes   map[string]json.RawMessage `json:"minutes"`
}

const minuteLayout = "2006-01-02T15:04Z"

// MarshalJSON is the form in which a State is shown, exported and imported.
func (s State) MarshalJSON() ([]byte, error) {
	w := wireState{Version: FormatVersion, Connector: s.Connector, Minutes: map[string]json.RawMessage{}}
	if !s.Fresh {
		w.Position = s.Offset.Marshal()
	}
	for minute, ids := range s.Minutes {
		w.Minutes[minute.UTC().Format(minuteLayout)] = schemas.EncodeMinute(ids)
	}
	return json.Marshal(w)
}

var errForm = errors.New("is no exported position")

// Parse reads what MarshalJSON wrote, of a connector with a position. Fields
// that it does not know are an error: what is misspelt would be lost. The error
// wraps schemas.ErrVersion for an unknown version.
func Parse(text []byte) (State, error) {
	var v struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(text, &v) == nil && v.Version > FormatVersion {
		return State{}, fmt.Errorf("%w: version %d of an exported position, this program knows %d", schemas.ErrVersion, v.Version, FormatVersion)
	}
	var w wireState
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return State{}, fmt.Errorf("%w: %w", errForm, err)
	}
	switch {
	case w.Version != FormatVersion:
		return State{}, fmt.Errorf("%w: version is %d", errForm, w.Version)
	case !schemas.ValidConnector(w.Connector):
		return State{}, fmt.Errorf("%w: connector %.80q is no connector's name", errForm, w.Connector)
	}
	records := map[string][]byte{}
	if len(w.Position) > 0 && !bytes.Equal(w.Position, []byte("null")) {
		records[w.Connector] = w.Position
	}
	for minute, value := range w.Minutes {
		records[w.Connector+"/"+minute] = value
	}
	s, err := Read(w.Connector, records)
	if err != nil {
		return State{}, err
	}
	if s.Fresh {
		return State{}, fmt.Errorf("%w: it has no position; offsets reset has a connector begin anew", errForm)
	}
	if err := s.sound(); err != nil {
		return State{}, fmt.Errorf("%w: %w", errForm, err)
	}
	return s, nil
}

// sound tells whether a State that somebody may have edited makes sense.
func (s *State) sound() error {
	o := &s.Offset
	if o.WindowStart.After(o.Through) {
		return fmt.Errorf("window_start %s lies behind through %s", o.WindowStart.Format(time.RFC3339Nano), o.Through.Format(time.RFC3339Nano))
	}
	for minute := range s.Minutes {
		if minute.Before(o.WindowStart.Truncate(time.Minute)) {
			return fmt.Errorf("minute %s lies before window_start %s", minute.Format(minuteLayout), o.WindowStart.Format(time.RFC3339Nano))
		}
	}
	return nil
}

// equal tells whether nothing would change between s and t but when it was
// written.
func (s *State) equal(t *State) bool {
	a, b := s.Offset, t.Offset
	a.UpdatedAt, b.UpdatedAt = time.Time{}, time.Time{}
	return s.Fresh == t.Fresh && bytes.Equal(a.Marshal(), b.Marshal()) && maps.EqualFunc(s.Minutes, t.Minutes, slices.Equal[[]int64])
}

// Shard is the partition of the offsets topic, of so many, that a connector
// belongs to.
func Shard(connector string, partitions int32) int32 {
	return producer.PartitionFor(schemas.OffsetKey(connector), partitions)
}
