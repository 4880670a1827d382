package audit

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Sum is the first half of a value's SHA-256: enough to see any change.
type Sum [16]byte

// Fact is one event that the source has. Times are microseconds since 1970.
type Fact struct {
	ID      int64
	Created int64
	Visible int64
	Sum     Sum
}

// Truth is what the source has, by connector, each sorted by id.
type Truth map[string][]Fact

// TruthFromNDJSON reads one connector's truth: lines of
// {"id":1,"created_at":"...","visible_at":"...","sha256":"hex"}, in any order.
// The result is sorted by id. An id that is there twice is an error.
func TruthFromNDJSON(r io.Reader) ([]Fact, error) {
	var facts []Fact
	dec := json.NewDecoder(r)
	for n := 1; ; n++ {
		var line struct {
			ID        *int64    `json:"id"`
			CreatedAt time.Time `json:"created_at"`
			VisibleAt time.Time `json:"visible_at"`
			SHA256    string    `json:"sha256"`
		}
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading truth line %d: %w", n, err)
		}
		sum, err := hex.DecodeString(line.SHA256)
		if err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("reading truth line %d: sha256 is not 64 hex digits", n)
		}
		if line.ID == nil || line.CreatedAt.IsZero() || line.VisibleAt.IsZero() {
			return nil, fmt.Errorf("reading truth line %d: a field is missing", n)
		}
		facts = append(facts, Fact{ID: *line.ID, Created: micros(line.CreatedAt), Visible: micros(line.VisibleAt), Sum: Sum(sum[:16])})
	}
	slices.SortFunc(facts, func(a, b Fact) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(facts); i++ {
		if facts[i].ID == facts[i-1].ID {
			return nil, fmt.Errorf("reading truth: id %d is there twice", facts[i].ID)
		}
	}
	return facts, nil
}

func find(facts []Fact, id int64) (int, bool) {
	return slices.BinarySearchFunc(facts, id, func(f Fact, id int64) int { return cmp.Compare(f.ID, id) })
}
