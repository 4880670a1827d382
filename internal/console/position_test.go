package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// shifts is a Positions that moves nothing.
type shifts struct {
	err  error
	made []registry.Who
	to   []time.Time
}

func (s *shifts) Plan(_ context.Context, name string, target position.Target) (Move, error) {
	if s.err != nil {
		return Move{}, s.err
	}
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	to := target.Through
	if to.IsZero() {
		to = at.Add(-target.Back)
	}
	p := position.Plan{Target: target, Again: position.Range{From: to, To: at}, Repeat: position.Range{From: to, To: to.Add(time.Minute)}}
	p.Before.Connector, p.Before.Offset = name, schemas.Offset{Through: at}
	p.After.Connector, p.After.Offset = name, schemas.Offset{Through: to}
	return Move{Plan: p, Again: 42, Repeat: 7, Calls: 3}, nil
}

func (s *shifts) Apply(_ context.Context, m Move, who registry.Who) error {
	if s.err != nil {
		return s.err
	}
	s.made, s.to = append(s.made, who), append(s.to, m.Plan.After.Offset.Through)
	return nil
}

// TestSetBack: a position is moved by what was seen, once, and not after ten
// minutes.
func TestSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := open(), &shifts{}
		o.Positions = s
		h := Handler(o)
		const path = "/connectors/acme/position"
		w := fill(h, path, map[string]string{"action": "plan", "back": "1h"})
		for _, text := range []string{"From 2026-11-27T12:00:00Z to 2026-11-27T11:00:00Z", "42 such events", "May repeat:", "about 3 calls"} {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("the plan lacks %q: %s", text, w.Body)
			}
		}
		apply := map[string]string{"action": "apply", "plan": hidden(t, w, "plan"), "reason": "ticket 4711"}
		if w := fill(h, "/connectors/globex/position", apply); w.Code != http.StatusGone {
			t.Errorf("on another connector: got status %d", w.Code)
		}
		if w := fill(h, path, apply); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/connectors/acme" {
			t.Fatalf("got status %d, %s", w.Code, w.Body)
		}
		if w := fill(h, path, apply); w.Code != http.StatusGone {
			t.Errorf("once more: got status %d", w.Code)
		}
		if len(s.made) != 1 || s.made[0].Reason != "ticket 4711" || s.made[0].Via != "console" || !strings.HasPrefix(s.made[0].By, "admin at ") || s.to[0].Hour() != 11 {
			t.Errorf("made %+v to %v", s.made, s.to)
		}
		late := map[string]string{"action": "apply", "plan": hidden(t, fill(h, path, map[string]string{"action": "plan", "through": "2026-11-27T10:00:00Z"}), "plan")}
		time.Sleep(keptFor)
		if w := fill(h, path, late); w.Code != http.StatusGone {
			t.Errorf("after ten minutes: got status %d", w.Code)
		}
		for _, back := range []string{"", "-1h", "soon", "0"} {
			if w := fill(h, path, map[string]string{"action": "plan", "back": back}); w.Code != http.StatusUnprocessableEntity {
				t.Errorf("%q back: got status %d", back, w.Code)
			}
		}
		if len(s.made) != 1 {
			t.Errorf("made %+v", s.made)
		}
	})
}

// TestMovesOfAPI holds every answer about positions against the document.
func TestMovesOfAPI(t *testing.T) {
	t.Parallel()
	d, s := newDocument(t), &shifts{}
	o := open()
	const plan, apply = "POST /api/v1/connectors/{name}/position/plan", "POST /api/v1/connectors/{name}/position"
	send := func(operation, body string) (code int, answer map[string]any) {
		w := ask(Handler(o), "POST", strings.ReplaceAll(strings.TrimPrefix(operation, "POST "), "{name}", "acme"), body, "Content-Type: application/json")
		text := w.Body.Bytes()
		d.hold(operation, w)
		_ = json.Unmarshal(text, &answer) // 204 has none
		return w.Code, answer
	}
	for _, operation := range []string{plan, apply} {
		if code, _ := send(operation, "{}"); code != http.StatusNotImplemented {
			t.Errorf("%s where it cannot be done: got status %d", operation, code)
		}
	}
	o.Positions = s
	send(plan, `{"back":"1h"}`)
	send(plan, `{}`)
	send(plan, `[`)
	send(apply, `{"plan":"nothing"}`)
	for _, err := range []error{position.ErrUnknown, position.ErrConflict, position.ErrRefused, errors.New("no broker")} {
		s.err = fmt.Errorf("acme: %w", err)
		send(plan, `{"back":"1h"}`)
	}
	s.err = nil
	// One handler, that it knows the plan.
	h := Handler(o)
	w := ask(h, "POST", "/api/v1/connectors/acme/position/plan", `{"through":"2026-11-27T10:00:00Z"}`, "Content-Type: application/json")
	var m shownMove
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	w = ask(h, "POST", "/api/v1/connectors/acme/position", fmt.Sprintf(`{"plan":%q,"reason":"r"}`, m.Plan), "Content-Type: application/json")
	d.hold(apply, w)
	if w.Code != http.StatusNoContent || len(s.made) != 1 || s.made[0].Via != "api" {
		t.Errorf("got status %d, made %+v", w.Code, s.made)
	}
	for _, operation := range []string{plan, apply} {
		if !d.driven[operation] {
			t.Errorf("%s was never answered with success", operation)
		}
	}
}
