package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// part is what a page shows beside connectors and jobs: lists that a stream tells
// whole whenever one is another than before.
type part struct {
	event string
	lists func(now time.Time) any // nil = there are none
	told  []byte
}

// partsOf are the parts that a stream is asked for: the details of a connector, and
// lists by the same query as their pages have.
func (o *Options) partsOf(v url.Values) (parts []*part, wrong []FieldProblem) {
	if name := v.Get("details"); name != "" {
		parts = append(parts, &part{event: "details", lists: func(now time.Time) any {
			if s, ok := o.Board.Get(name, now); ok {
				return o.details(&s)
			}
			return nil
		}})
	}
	asked := func(name string) (url.Values, bool) {
		q, err := url.ParseQuery(v.Get(name))
		if err != nil {
			wrong = append(wrong, FieldProblem{name, "is no query"})
		}
		return q, v.Has(name) && err == nil
	}
	if v, ok := asked("audit"); ok {
		q, w := parseChanges(v)
		wrong, q.PerPage = append(wrong, w...), perPage
		parts = append(parts, &part{event: "audit", lists: func(time.Time) any {
			entries, _, _ := o.Trail.Find(q)
			return map[string]any{"changes": changeRows(entries)}
		}})
	}
	if v, ok := asked("fleet"); ok {
		q, w := parseSearch(v, instanceOrders, "instance")
		wrong, q.PerPage = append(wrong, w...), perPage
		parts = append(parts, &part{event: "fleet", lists: func(now time.Time) any {
			f := o.theFleet(q, now)
			return listsOf(&f, now)
		}})
	}
	return parts, wrong
}

// sendParts sends those that are others than before.
func (s *stream) sendParts(now time.Time) error {
	for _, p := range s.parts {
		lists := p.lists(now)
		if lists == nil {
			continue
		}
		data, err := json.Marshal(lists)
		if err != nil {
			return fmt.Errorf("writing %s: %w", p.event, err)
		}
		if bytes.Equal(data, p.told) {
			continue
		}
		p.told = data
		if err := s.event(p.event, json.RawMessage(data)); err != nil {
			return err
		}
	}
	return nil
}
