package schemas

import "time"

// Report is what a comparison of OneLogin with the events topic has found so far.
type Report struct {
	// From and To are what was asked for; Through is how far it was compared.
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Through time.Time `json:"through"`
	// Kept is where the range was cut, as the topic keeps nothing older; zero = it
	// was not.
	Kept time.Time `json:"topic_begins,omitzero"`
	// Events is how many events the API shows in what was compared.
	Events int64 `json:"events"`
	// Missing are events that the API shows and the topic lacked.
	Missing int64 `json:"missing"`
	// Repaired are those of them that were published.
	Repaired int64 `json:"repaired"`
	// Altered are events whose bytes in the topic are others.
	Altered int64 `json:"altered"`
	// Duplicate counts the repetitions in the topic.
	Duplicate int64 `json:"duplicate"`
	// Unshown are events in the topic that the API does not show any more.
	Unshown int64 `json:"unshown"`
	// Findings are the first of what was found, at most 100.
	Findings []Finding `json:"findings,omitempty"`
}

// mostFindings bounds Report.Findings.
const mostFindings = 100

// The kinds of findings.
const (
	Missing   = "missing"
	Altered   = "altered"
	Duplicate = "duplicate"
	Unshown   = "unshown"
)

// Finding is one event that is not as it should be, or a run of missing ones
// between two that are there.
type Finding struct {
	Kind string `json:"kind"`
	// ID is the event's; of a run the lowest.
	ID int64 `json:"id"`
	// Events is how many there are in the run, else 1.
	Events int64 `json:"events"`
	// From and To are the first and last created_at; zero where the API does not
	// show it.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Whole tells whether nothing is wrong that was not mended.
func (r *Report) Whole() bool {
	return r.Missing == r.Repaired && r.Altered == 0 && r.Duplicate == 0 && r.Unshown == 0
}

// Find adds a finding, as far as there is room.
func (r *Report) Find(f Finding) {
	if len(r.Findings) < mostFindings {
		r.Findings = append(r.Findings, f)
	}
}

// wire is r within the times that can be written.
func (r Report) wire() Report {
	for _, t := range []*time.Time{&r.From, &r.To, &r.Through} {
		*t = wireTime(*t)
	}
	if !r.Kept.IsZero() {
		r.Kept = wireTime(r.Kept)
	}
	return r
}
