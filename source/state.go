package source

import (
	"fmt"
	"time"

	"onelogin-kafka/schemas"
)

// State is what the offsets topic says of one connector: all that a poller
// starts from.
type State struct {
	// Offset is the position; zero when Fresh.
	Offset schemas.Offset
	// Minutes are the published ids of the window, by the Unix time of the
	// minute's start divided by 60. The poller takes the sets over.
	Minutes map[int64]idSet
	// Fresh tells that the connector has no offset yet.
	Fresh bool
}

// ParseState reads the newest value of each key that connector has in the
// offsets topic; a nil value is a tombstone. Keys of other connectors are an
// error, since acting on a wrong state publishes twice or not at all. An
// unknown version is an error that wraps schemas.ErrVersion.
func ParseState(connector string, records map[string][]byte) (State, error) {
	st := State{Fresh: true, Minutes: make(map[int64]idSet, len(records))}
	for key, value := range records {
		k, err := schemas.ParseOffsetsKey([]byte(key))
		if err != nil {
			return State{}, fmt.Errorf("reading state of %s: %w", connector, err)
		}
		if k.Connector != connector {
			return State{}, fmt.Errorf("reading state of %s: key %q belongs to another connector", connector, key)
		}
		if value == nil || k.Kind == schemas.OffsetsJob {
			continue
		}
		if k.Kind == schemas.OffsetsMinute {
			ids, err := schemas.ParseMinute(value)
			if err != nil {
				return State{}, fmt.Errorf("reading state of %s: key %q: %w", connector, key, err)
			}
			st.Minutes[minuteOf(k.Minute)] = newIDSet(ids)
			continue
		}
		if st.Offset, err = schemas.ParseOffset(value); err != nil {
			return State{}, fmt.Errorf("reading state of %s: %w", connector, err)
		}
		st.Fresh = false
	}
	if st.Fresh && len(st.Minutes) > 0 {
		return State{}, fmt.Errorf("reading state of %s: %d minutes of ids without an offset", connector, len(st.Minutes))
	}
	return st, nil
}

// minuteOf returns the number of the minute that holds t, counted from 1970.
func minuteOf(t time.Time) int64 {
	sec := t.Unix()
	m := sec / 60
	if sec%60 < 0 {
		m--
	}
	return m
}

// minuteTime is the start of minute m.
func minuteTime(m int64) time.Time { return time.Unix(m*60, 0).UTC() }

// floorMinute returns the start of the minute that holds t.
func floorMinute(t time.Time) time.Time { return minuteTime(minuteOf(t)) }
