package console

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// TestFailures: each different error is told once, with when and how often it
// began, and reading the topic again makes none of them more.
func TestFailures(t *testing.T) {
	t.Parallel()
	b := NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	messages := []string{"Credentials error", "Credentials error", "", "Request Timeout", "Credentials error", ""}
	for range 2 {
		for i, message := range messages {
			at := noon.Add(time.Duration(i) * time.Minute)
			st := schemas.ConnectorStatus{Connector: "acme", State: schemas.StateActive, Message: message, Since: at, UpdatedAt: at}
			if message != "" {
				st.State, st.Stage = schemas.StateFailing, "Authentication"
			}
			say(b, st)
		}
	}
	var got []string
	for _, f := range b.Failures("acme") {
		got = append(got, fmt.Sprintf("%s: %s, %v to %v, %d", f.Stage, f.Message, f.First.Sub(noon), f.Last.Sub(noon), f.Times))
	}
	if want := []string{"Authentication: Credentials error, 0s to 4m0s, 2", "Authentication: Request Timeout, 3m0s to 3m0s, 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 2 * maxFailures {
		at := noon.Add(time.Hour + time.Duration(i)*time.Second)
		say(b, schemas.ConnectorStatus{Connector: "acme", State: schemas.StateFailing, Message: fmt.Sprint("error ", i), Since: at, UpdatedAt: at})
	}
	if n := len(b.Failures("acme")); n != maxFailures || b.Failures("acme")[0].Message != fmt.Sprint("error ", 2*maxFailures-1) {
		t.Errorf("%d errors are remembered, %v first", n, b.Failures("acme")[0])
	}
}
