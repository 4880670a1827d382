package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/schemas"
)

// TestVerify: a whole topic is whole, and of a copy with a hole, an altered and a
// repeated event each is told.
func TestVerify(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 3000, 20))
	name, file := p.sim.Tenants()[0].Name, p.config(t, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	quick := strings.Replace(string(text), "rate_limit:", "sweep: {every: 1s, window: 1m}, rate_limit:", 1)
	file = write(t, "quick.yaml", quick)
	expectBad := func(what string, list ...string) {
		t.Helper()
		expect(t, exitUsage, what, append(list, "--config", file)...)
	}
	expectBad("connector nobody is not in the configuration", "verify", "nobody")
	expectBad(`--from "yesterday" is neither a duration`, "verify", name, "--from", "yesterday")
	expectBad("is not before --to", "verify", name, "--from", "1h", "--to", "2h")
	service := startCommand(t, "run", "--config", file)
	var whole reportJSON
	eventually(t, "a window that begins behind most events", func() bool {
		code, out, errs := runCommand(t, "verify", name, "--from", "48h", "--json", "--config", file)
		if code != exitOK || json.Unmarshal([]byte(out), &whole) != nil {
			t.Logf("verify: exit %d, %s%s", code, out, errs)
			return false
		}
		return whole.Events > 1000
	})
	service.end()
	if !whole.Whole || whole.Missing+whole.Altered+whole.Duplicate+whole.Unshown != 0 {
		t.Errorf("of a whole topic it says %+v", whole)
	}
	id := copyWithHoles(t, p.broker.Addrs()[0], whole.From.Add(time.Hour), whole.To)
	holes := write(t, "holes.yaml", strings.Replace(quick, "events: {partitions: 3}", "events: {name: holes, partitions: 3}", 1))
	code, out, errs := runCommand(t, "verify", name, "--from", whole.From.Format(time.RFC3339Nano), "--to", whole.To.Format(time.RFC3339Nano), "--json", "--config", holes)
	var got reportJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFail {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if got.Events != whole.Events || got.Missing != 7 || got.Altered != 1 || got.Duplicate != 1 || got.Whole {
		t.Errorf("got %+v, of %d events", got, whole.Events)
	}
	var gap schemas.Finding
	for _, f := range got.Findings {
		if f.Kind == schemas.Missing {
			gap = f
		}
	}
	if gap.Events != 7 || gap.ID != id {
		t.Errorf("the gap is told as %+v, it begins with %d", gap, id)
	}
	expect(t, exitFail, "7 missing, 1 altered, 1 twice", "verify", name, "--from", "48h", "--config", holes)
}

// copyWithHoles copies the events to another topic, but seven in a row, with one of
// them twice and one altered; it returns the id of the first that lacks.
func copyWithHoles(t *testing.T, addr string, from, to time.Time) (first int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("onelogin.events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(t.Context(), 3, 1, nil, "holes"); err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListCommittedOffsets(t.Context(), "onelogin.events")
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 1 { // the last is a marker
			left[o.Partition] = o.Offset - 2
		}
	})
	n := 0
	for len(left) > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset >= end {
				delete(left, r.Partition)
			}
			c := &kgo.Record{Topic: "holes", Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
			times := 1
			if !r.Timestamp.Before(from) && r.Timestamp.Before(to.Add(-time.Minute)) {
				n++
				switch {
				case n > 10 && n <= 17:
					if n == 11 {
						first = idOf(t, r.Value)
					}
					times = 0
				case n == 30:
					c.Value = []byte(strings.Replace(string(r.Value), "{", `{"x":1,`, 1))
				case n == 40:
					times = 2
				}
			}
			for range times {
				if err := client.ProduceSync(t.Context(), c).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if n < 40 {
		t.Fatalf("only %d events in the range", n)
	}
	return first
}

func idOf(t *testing.T, value []byte) int64 {
	t.Helper()
	var ev struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(value, &ev); err != nil {
		t.Fatal(err)
	}
	return ev.ID
}
