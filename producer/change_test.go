package producer

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/schemas"
)

// raising raises the position of a connector by one, whatever it is, and notes
// it in the audit: a change that must not be made twice.
func raising(known ShardRecords) ([]schemas.Record, error) {
	n := 0
	if value := known["acme"]["acme"]; value != nil {
		var err error
		if n, err = strconv.Atoi(string(value)); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	return []schemas.Record{
		{Topic: schemas.Offsets, Key: []byte("acme"), Value: []byte(strconv.Itoa(n + 1)), Time: now},
		{Topic: schemas.Audit, Key: []byte("acme"), Value: fmt.Appendf(nil, "%d", n+1), Time: now},
	}, nil
}

// raisedTo reads back that each step is there once, on both topics.
func raisedTo(t *testing.T, addr string, topics Topics, want int) {
	t.Helper()
	cluster := open(t, addr)
	for _, topic := range []schemas.Topic{schemas.Offsets, schemas.Audit} {
		values := committed(t, cluster, partition{topics.Specs[topic].Name, 0})
		if len(values) != want {
			t.Fatalf("%s: %q, want %d", topic, values, want)
		}
		for i, value := range values {
			if value != strconv.Itoa(i+1) {
				t.Fatalf("%s: step %d is %q", topic, i+1, value)
			}
		}
	}
}

// TestChangeUnknownOutcomes: whatever becomes of a request, a change by hand is
// made once: what happened is found out on the audit topic, and not by asking
// again.
func TestChangeUnknownOutcomes(t *testing.T) {
	for _, key := range []protocol.ApiKey{protocol.EndTxn, protocol.Produce, protocol.AddPartitionsToTxn} {
		for _, k := range faultKinds {
			if k.kind == faultproxy.DelayAnswer || k.kind == faultproxy.DelayRequest {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", key, k.name), func(t *testing.T) {
				t.Parallel()
				addr, topics := controlRig(t)
				cluster, proxy := behindProxy(t, addr)
				h := &Hand{Cluster: cluster, Topics: topics, Group: "g"}
				fault := proxy.Add(faultproxy.Fault{Kind: k.kind, Key: int16(key), Nth: 1})
				for made := 0; made < 3; {
					// A produce or an add that was not answered leaves no doubt: it is said,
					// and the next goes on.
					err := h.Change(patient(t), 0, raising)
					switch {
					case err == nil:
						made++
					case key == protocol.EndTxn || outcomeOf(err) == Unknown:
						t.Fatal(err)
					}
				}
				if fault.Hits() != 1 {
					t.Fatalf("the fault was hit %d times", fault.Hits())
				}
				raisedTo(t, addr, topics, 3)
			})
		}
	}
}

// TestChangeDecides: what is refused is not written, and nothing is without a
// record for the audit topic.
func TestChangeDecides(t *testing.T) {
	addr, topics := controlRig(t)
	h := &Hand{Cluster: open(t, addr), Topics: topics, Group: "g"}
	conflict := errors.New("conflict")
	if err := h.Change(patient(t), 0, func(ShardRecords) ([]schemas.Record, error) { return nil, conflict }); !errors.Is(err, conflict) {
		t.Errorf("got %v", err)
	}
	if err := h.Change(patient(t), 0, func(known ShardRecords) ([]schemas.Record, error) {
		records, err := raising(known)
		return records[:1], err
	}); err == nil {
		t.Error("a change without an audit record was written")
	}
	if err := h.Change(patient(t), 0, raising); err != nil {
		t.Fatal(err)
	}
	raisedTo(t, addr, topics, 1)
}

// TestChangeBesideOthers: a change by hand is made in the end, and once, however
// often others are quicker than it: each fences it between its reading and its
// writing, as an owner does that takes over again.
func TestChangeBesideOthers(t *testing.T) {
	t.Parallel()
	addr, topics := controlRig(t)
	h := &Hand{Cluster: open(t, addr), Topics: topics, Group: "g"}
	p, err := DetectProtocol(patient(t), h.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	const others = 15
	fenced := 0
	if err := h.Change(patient(t), 0, func(known ShardRecords) ([]schemas.Record, error) {
		if fenced < others {
			fenced++
			if err := h.fence(patient(t), p, h.Group, 0); err != nil {
				return nil, err
			}
		}
		return raising(known)
	}); err != nil || fenced != others {
		t.Fatalf("got %v, fenced %d times", err, fenced)
	}
	raisedTo(t, addr, topics, 1)
}
