// Package deadletter is what OneLogin sent among its events and is none: to be
// looked at, to be published once a later version can read it, or to be
// discarded. The topic keeps what it has; what became of a letter stands on the
// audit topic.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin"
)

// ID is where a letter is on the topic: "<partition>/<offset>".
type ID struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// String returns the form that ParseID reads.
func (id ID) String() string { return fmt.Sprintf("%d/%d", id.Partition, id.Offset) }

// ParseID reads what String wrote; a number alone is an offset of partition 0,
// as the topic has one partition unless somebody has grown it.
func ParseID(text string) (ID, error) {
	partition, offset, both := strings.Cut(text, "/")
	if !both {
		partition, offset = "0", text
	}
	p, err := strconv.ParseInt(partition, 10, 32)
	o, err2 := strconv.ParseInt(offset, 10, 64)
	if err != nil || err2 != nil || p < 0 || o < 0 {
		return ID{}, fmt.Errorf("%.40q is no dead letter such as 0/12", text)
	}
	return ID{int32(p), o}, nil
}

// State is what became of a letter.
type State string

// The states.
const (
	Open      State = "open"
	Replayed  State = "replayed"
	Discarded State = "discarded"
)

// The actions on the audit topic.
const (
	actionReplay  = "deadletter.replay"
	actionDiscard = "deadletter.discard"
)

// Letter is one dead letter.
type Letter struct {
	ID        ID
	Written   time.Time
	Connector string
	Source    string // ce_source
	Reason    string // why it was none when it came
	Raw       []byte
	State     State
	// By and At say who made it what it is, and when.
	By string
	At time.Time
}

// Event is what this version reads in the letter; the reason says why that is no
// event, and is empty if it is one.
func (l *Letter) Event() (ev schemas.Event, reason string) { return onelogin.ReadEvent(l.Raw) }

// MarshalJSON is the letter for machines: "value" is its text, or
// "value_base64" what is no UTF-8; "event_id" is there if it can be read now.
func (l *Letter) MarshalJSON() ([]byte, error) {
	ev, reason := l.Event()
	o := struct {
		ID        string    `json:"id"`
		Written   time.Time `json:"written"`
		Connector string    `json:"connector"`
		Source    string    `json:"ce_source"`
		Reason    string    `json:"reason"`
		Now       string    `json:"reason_now,omitempty"`
		EventID   int64     `json:"event_id,omitempty"`
		State     State     `json:"state"`
		By        string    `json:"by,omitempty"`
		At        time.Time `json:"at,omitzero"`
		Value     *string   `json:"value,omitempty"`
		Base64    []byte    `json:"value_base64,omitempty"`
	}{l.ID.String(), l.Written, l.Connector, l.Source, l.Reason, reason, ev.ID, l.State, l.By, l.At, nil, nil}
	if text := string(l.Raw); utf8.ValidString(text) {
		o.Value = &text
	} else {
		o.Base64 = l.Raw
	}
	return json.Marshal(o)
}

// Box is where letters are.
type Box struct {
	Hand *producer.Hand
	// By is whom the audit topic is told of, Reason why.
	By, Reason string
}

func (b *Box) topic(t schemas.Topic) string { return b.Hand.Topics.Specs[t].Name }

// Read returns all letters that the topic has, as they came.
func (b *Box) Read(ctx context.Context) ([]Letter, error) {
	var all []Letter
	at := map[ID]int{}
	err := b.each(ctx, schemas.DeadLetter, func(partition int32, offset int64, r *schemas.Record) {
		l := Letter{
			ID: ID{partition, offset}, Written: r.Time, Connector: header(r, schemas.HeaderTenant), Source: header(r, schemas.HeaderSource),
			Reason: header(r, schemas.HeaderReason), Raw: append([]byte{}, r.Value...), State: Open,
		}
		at[l.ID] = len(all)
		all = append(all, l)
	})
	if err != nil {
		return nil, err
	}
	err = b.each(ctx, schemas.Audit, func(_ int32, _ int64, r *schemas.Record) {
		e, err := schemas.ParseAuditEntry(r.Value)
		if err != nil || e.Action != actionReplay && e.Action != actionDiscard {
			return // what a newer version writes there is none of ours
		}
		var id ID
		if json.Unmarshal(e.After, &id) != nil {
			return
		}
		if i, ok := at[id]; ok {
			all[i].State, all[i].By, all[i].At = Discarded, e.By, e.At
			if e.Action == actionReplay {
				all[i].State = Replayed
			}
		}
	})
	return all, err
}

// each hands every committed record of a topic to do; a topic that is not there
// has none.
func (b *Box) each(ctx context.Context, topic schemas.Topic, do func(partition int32, offset int64, r *schemas.Record)) error {
	name := b.topic(topic)
	n, err := b.Hand.Cluster.Partitions(ctx, name)
	if errors.Is(err, wire.ErrUnknownTopic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for topic %s: %w", name, err)
	}
	for p := range n {
		log := &producer.CommittedLog{Cluster: b.Hand.Cluster, Topic: name, Partition: p}
		_, err := log.ReadDecided(ctx, func(offset int64, r *schemas.Record) error { do(p, offset, r); return nil })
		if err != nil {
			return fmt.Errorf("reading topic %s: %w", name, err)
		}
	}
	return nil
}

func header(r *schemas.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
