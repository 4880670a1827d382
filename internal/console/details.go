package console

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// details are what a connector's page shows beside what its status says, as a stream
// tells of them, too.
type details struct {
	Late    []lateBucket `json:"late"`
	Errors  []errorRow   `json:"errors"`
	History []stateRow   `json:"history"`
	Changes []changeRow  `json:"changes"`
}

type errorRow struct {
	Why   string    `json:"why"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
}

type stateRow struct {
	State schemas.State `json:"state"`
	Why   string        `json:"why"`
	Since time.Time     `json:"since"`
}

// changeRow is a change with what of the connector it made another.
type changeRow struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Via       string    `json:"via"`
	Action    string    `json:"action"`
	Reason    string    `json:"reason"`
	Connector string    `json:"connector"`
	Before    string    `json:"before"`
	After     string    `json:"after"`
}

func changeRows(entries []schemas.AuditEntry) []changeRow {
	rows := []changeRow{}
	for i := range entries {
		e := &entries[i]
		rows = append(rows, changeRow{e.At, e.By, e.Via, e.Action, e.Reason, e.Connector, differing(e.Before, e.After), differing(e.After, e.Before)})
	}
	return rows
}

// shownChanges is how many of its changes a connector's page shows.
const shownChanges = 20

// details of a connector as its status is now.
func (o *Options) details(s *fleet.Status) details {
	entries, _ := o.Trail.Entries(s.Connector, shownChanges)
	d := details{Late: lateBuckets(s.Lateness), Errors: []errorRow{}, History: []stateRow{}, Changes: changeRows(entries)}
	for _, f := range o.Board.Failures(s.Connector) {
		d.Errors = append(d.Errors, errorRow{staged(f.Stage, f.Message), f.First, f.Last, f.Times})
	}
	for _, c := range o.Board.History(s.Connector) {
		d.History = append(d.History, stateRow{c.State, staged(c.Stage, c.Message), c.Since})
	}
	return d
}

// staged is a message in DNIF's form.
func staged(stage, message string) string {
	if stage == "" {
		return message
	}
	return stage + " Stage: " + message
}

// lateBucket is a bar of the histogram of late events; Percent is of the longest.
type lateBucket struct {
	Text    string `json:"text"`
	Events  int64  `json:"events"`
	Percent int64  `json:"percent"`
}

// lateBuckets are the histogram's bars up to the last that is not empty; none
// where no event was late.
func lateBuckets(l *schemas.Lateness) []lateBucket {
	list := []lateBucket{}
	if l == nil || len(l.Counts) == 0 {
		return list
	}
	last, most := 0, max(slices.Max(l.Counts), 1)
	for i, n := range l.Counts {
		text := "later"
		if i < len(l.Bounds) {
			text = "up to " + fleet.Ago(time.Duration(l.Bounds[i]*float64(time.Second)))
		}
		if list = append(list, lateBucket{text, n, 100 * n / most}); n > 0 {
			last = i + 1
		}
	}
	return list[:last]
}

// differing is what of one object is not so in the other; all that it has where
// there is no other.
func differing(one, other json.RawMessage) string {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(one, &a) != nil || json.Unmarshal(other, &b) != nil {
		return indented(one)
	}
	for name, value := range a {
		// Each change changes these, and the entry itself says them.
		if bytes.Equal(value, b[name]) || slices.Contains([]string{"generation", "updated_at", "updated_by"}, name) {
			delete(a, name)
		}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return indented(one)
	}
	return indented(text)
}

func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
