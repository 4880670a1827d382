package wire

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// throttling answers a request as a broker does whose quota is spent: at once,
// and then it leaves the connection unread for as long as it said.
func throttling(x *exchange, wait time.Duration) {
	ms := binary.BigEndian.AppendUint32(nil, uint32(wait.Milliseconds()))
	switch x.key {
	case protocol.Produce: // no topics; the throttle time comes last
		x.raw(x.frame(append(append([]byte{0, 1}, ms...), 0)))
	case protocol.Fetch: // no error, no session, no topics
		x.raw(x.frame(append(ms, make([]byte, 2+4+4)...)))
	default: // no error
		x.raw(x.frame(append(ms, 0, 0)))
	}
	time.Sleep(wait)
}

// A spent quota for produced bytes holds up neither what ends the transaction,
// nor the next batch of it, nor anything else; it can be waited for.
func TestASpentQuotaHoldsUpNothingElse(t *testing.T) {
	const wait = 20 * time.Second
	throttled := true
	cluster(t, all(func(x *exchange) {
		switch {
		case x.key == protocol.Produce && throttled:
			throttling(x, wait)
		case x.key == protocol.Produce:
			x.raw(x.frame([]byte{0, 1, 0, 0, 0, 0, 0}))
		default:
			healthy(x)
		}
	}), func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		began := time.Now()
		if until := c.Throttled(2, protocol.Produce); until.After(began) {
			t.Errorf("throttled before anything was sent, until %v", until)
		}
		ask := func(what string, m Request) {
			t.Helper()
			at := time.Now()
			if err := c.Do(t.Context(), 2, m); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got := time.Since(at); got != 0 {
				t.Errorf("%s took %v", what, got)
			}
		}
		ask("the first batch", &Produce{})
		ask("the second", &Produce{})
		ask("the end of the transaction", &EndTxn{Version: 3})
		ask("a heartbeat", &Heartbeat{})
		if got := c.Throttled(2, protocol.Produce).Sub(began); got != wait {
			t.Errorf("producing is throttled for %v, want %v", got, wait)
		}
		for _, key := range []protocol.ApiKey{protocol.EndTxn, protocol.Fetch, protocol.Heartbeat} {
			if until := c.Throttled(2, key); !until.IsZero() {
				t.Errorf("%s is throttled until %v", key, until)
			}
		}
		if until := c.Throttled(3, protocol.Produce); !until.IsZero() {
			t.Errorf("another broker is throttled until %v", until)
		}
		dials := n.dialled("b:1")
		time.Sleep(wait / 2)
		ask("a third batch", &Produce{}) // raises the bound by half
		if got := n.dialled("b:1") - dials; got != 1 {
			t.Errorf("connections made for it: got %d, want 1", got)
		}
		throttled = false
		time.Sleep(time.Until(c.Throttled(2, protocol.Produce)))
		dials = n.dialled("b:1")
		for range 10 {
			ask("a batch after the wait", &Produce{})
		}
		if got := n.dialled("b:1") - dials; got != 0 {
			t.Errorf("%d connections were made though others were free again", got)
		}
		want, got := map[string]time.Duration{"control": 0, "transaction": 0, "produce": wait * 3 / 2, "fetch": 0}, map[string]time.Duration{}
		for _, kind := range Kinds() {
			got[kind] = c.Throttle(kind)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("throttled altogether (-want +got):\n%s", diff)
		}
	})
}

// A broker whose quota for fetched bytes is spent says nothing of the partition.
func TestAThrottledFetchIsEmpty(t *testing.T) {
	cluster(t, all(func(x *exchange) {
		if x.key == protocol.Fetch {
			throttling(x, time.Second)
			return
		}
		healthy(x)
	}), func(t *testing.T, _ *network, c *Cluster) {
		know(t, c)
		f := &Fetch{Topic: "t"}
		if err := c.Do(t.Context(), 2, f); err != nil || f.ErrorCode != 0 {
			t.Fatalf("got %v, error %d", err, f.ErrorCode)
		}
		if f.HighWatermark != -1 || f.LastStableOffset != -1 || len(f.Records) != 0 {
			t.Errorf("got offsets %d and %d and %d bytes, want that nothing is known", f.HighWatermark, f.LastStableOffset, len(f.Records))
		}
		if got := time.Until(c.Throttled(2, protocol.Fetch)); got != time.Second {
			t.Errorf("fetching is throttled for %v, want a second", got)
		}
	})
}

// Every answer that can say so is heard.
func TestThrottleTimesOfKafkaGosAnswers(t *testing.T) {
	const ms = 1234
	for _, m := range []protocol.Message{
		&metadata.Response{ThrottleTimeMs: ms}, &findcoordinator.Response{ThrottleTimeMs: ms},
		&initproducerid.Response{ThrottleTimeMs: ms}, &addpartitionstotxn.Response{ThrottleTimeMs: ms},
		&listoffsets.Response{ThrottleTimeMs: ms}, &createtopics.Response{ThrottleTimeMs: ms},
		&describeconfigs.Response{ThrottleTimeMs: ms}, &joingroup.Response{ThrottleTimeMS: ms}, &syncgroup.Response{ThrottleTimeMS: ms},
	} {
		if got := throttleOf(m); got != ms {
			t.Errorf("%s: got %d ms, want %d", m.ApiKey(), got, ms)
		}
	}
}
