package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// away is a control log whose Kafka answers nothing.
type away struct {
	*shelf
	wrap error // what its error says besides
}

func (a *away) wait(ctx context.Context) error {
	<-ctx.Done()
	if a.wrap != nil {
		return fmt.Errorf("%w: %w", a.wrap, ctx.Err())
	}
	return ctx.Err()
}

func (a *away) Put(ctx context.Context, _ registry.Draft, _ int64, _ registry.Who) (schemas.Connector, error) {
	return schemas.Connector{}, a.wait(ctx)
}

func (a *away) Pause(ctx context.Context, _ string, _ bool, _ int64, _ registry.Who) (schemas.Connector, error) {
	return schemas.Connector{}, a.wait(ctx)
}

func (a *away) Remove(ctx context.Context, _ string, _ int64, _ registry.Who) error {
	return a.wait(ctx)
}

// awayMoves is away for positions, once there is a plan.
type awayMoves struct {
	shifts
	away
}

func (a *awayMoves) Apply(ctx context.Context, _ Move, _ registry.Who) error { return a.wait(ctx) }

// TestKafkaAway: who changes something while Kafka is away is told within
// seconds what is known of it, and a page keeps what was typed.
func TestKafkaAway(t *testing.T) {
	t.Parallel()
	for outcome, wrap := range map[Outcome]error{OutcomeNone: nil, OutcomeUnknown: producer.ErrUnknown, OutcomePart: registry.ErrNotRetired} {
		synctest.Test(t, func(t *testing.T) {
			o := open()
			shelf := newShelf()
			shelf.all["acme"] = schemas.Connector{Name: "acme", Domain: "acme.onelogin.com", ClientID: "id", Generation: 3}
			a := away{shelf, wrap}
			o.Control, o.Positions = &a, &awayMoves{away: a}
			h := Handler(o)
			d := newDocument(t)
			plan := ask(h, "POST", "/api/v1/connectors/acme/position/plan", `{"back":"1h"}`, "Content-Type: application/json").Body.String()
			_, plan, _ = strings.Cut(plan, `"plan":"`)
			plan, _, _ = strings.Cut(plan, `"`)
			const draft = `{"name":"acme","domain":"acme","client_id":"id"}`
			for operation, body := range map[string]string{
				"POST /api/v1/connectors": draft, "PUT /api/v1/connectors/{name}": draft, "DELETE /api/v1/connectors/{name}": "",
				"POST /api/v1/connectors/{name}/pause": `{"paused":true}`, "POST /api/v1/connectors/{name}/position": `{"plan":"` + plan + `"}`,
			} {
				method, path, _ := strings.Cut(strings.ReplaceAll(operation, "{name}", "acme"), " ")
				began := time.Now()
				w := ask(h, method, path, body, "Content-Type: application/json", `If-Match: "3"`)
				if took := time.Since(began); took != writeWithin {
					t.Errorf("%s: it took %v, want %v", operation, took, writeWithin)
				}
				var p Problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusServiceUnavailable || p.Outcome != outcome {
					t.Errorf("%s: got status %d, %+v, want outcome %s", operation, w.Code, p, outcome)
				}
				d.hold(operation, w)
			}
			w := fill(h, "/connectors/acme/edit", map[string]string{"action": "save", "generation": "3", "domain": "other.onelogin.com", "client_id": "typed"})
			if page := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(page, `value="typed"`) || !strings.Contains(page, `role="alert"`) {
				t.Errorf("got status %d, %s", w.Code, page)
			}
		})
	}
}
