package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/registry"
)

// Move is a plan for a connector's position, and what it costs.
type Move struct {
	Plan   position.Plan
	Shards int32
	// Again are the events in the topic that are asked for again, Repeat those of
	// them that may come twice, Calls about how many calls of the API it takes.
	Again, Repeat, Calls int64
}

// Positions plans moves and makes them.
type Positions interface {
	// Plan returns an error that wraps position.ErrRefused or ErrUnknown where
	// nothing can be done.
	Plan(ctx context.Context, name string, target position.Target) (Move, error)
	// Apply returns an error that wraps position.ErrConflict where the move would
	// mean more than was planned.
	Apply(ctx context.Context, m Move, who registry.Who) error
}

// shownMove is a plan as the API shows it.
type shownMove struct {
	// Plan is what it is applied by, within ten minutes.
	Plan      string          `json:"plan"`
	Connector string          `json:"connector"`
	Nothing   bool            `json:"nothing_to_do"`
	From      time.Time       `json:"from"`
	To        time.Time       `json:"to"`
	Again     *position.Range `json:"asked_again,omitempty"`
	AgainN    int64           `json:"events_asked_again"`
	Repeat    *position.Range `json:"may_repeat,omitempty"`
	RepeatN   int64           `json:"events_may_repeat"`
	Skip      *position.Range `json:"skipped,omitempty"`
	Calls     int64           `json:"calls"`
}

func shownOf(handle string, m Move) shownMove {
	p := &m.Plan
	return shownMove{
		handle, p.Before.Connector, p.Nothing(), p.Before.Offset.Through, p.After.Offset.Through,
		p.Again.Shown(), m.Again, p.Repeat.Shown(), m.Repeat, p.Skip.Shown(), m.Calls,
	}
}

// target reads where a position is to go: one of a time and a distance.
func target(through, back string) (position.Target, []FieldProblem) {
	switch {
	case through != "" && back == "":
		at, err := time.Parse(time.RFC3339Nano, through)
		if err != nil {
			return position.Target{}, []FieldProblem{{"through", "is no time such as 2026-11-22T07:05:00Z"}}
		}
		return position.Target{Through: at.UTC()}, nil
	case back != "" && through == "":
		d, err := time.ParseDuration(back)
		if err != nil || d <= 0 {
			return position.Target{}, []FieldProblem{{"back", "is no duration such as 1h or 90m"}}
		}
		return position.Target{Back: d}, nil
	}
	return position.Target{}, []FieldProblem{{"back", "or through, one of them, says where the position is to go"}}
}

func failureOfMove(err error) *failure {
	switch {
	case errors.Is(err, position.ErrUnknown):
		return &failure{status: http.StatusNotFound, detail: sentence(err.Error())}
	case errors.Is(err, position.ErrConflict):
		return &failure{status: http.StatusConflict, detail: sentence(err.Error())}
	case errors.Is(err, position.ErrRefused):
		return &failure{status: http.StatusUnprocessableEntity, detail: sentence(err.Error())}
	}
	return failureOfKafka(err)
}

func (o *Options) plan(ctx context.Context, name, through, back string) (shownMove, *failure) {
	to, wrong := target(through, back)
	if len(wrong) > 0 {
		return shownMove{}, &failure{status: http.StatusUnprocessableEntity, detail: "It is not said where the position is to go.", fields: wrong}
	}
	m, err := o.Positions.Plan(ctx, name, to)
	if err != nil {
		return shownMove{}, failureOfMove(err)
	}
	return shownOf(o.plans.keep(m), m), nil
}

// apply makes a plan true, once.
func (o *Options) apply(ctx context.Context, name, handle string, by registry.Who) *failure {
	m, ok := o.plans.get(handle)
	if !ok || m.Plan.Before.Connector != name {
		return &failure{status: http.StatusGone, detail: "There is no such plan any more; make it again."}
	}
	o.plans.drop(handle)
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	if err := o.Positions.Apply(ctx, m, by); err != nil {
		return failureOfMove(err)
	}
	return nil
}

func (o *Options) planMove(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Through *string `json:"through"`
		Back    *string `json:"back"`
	}
	if !read(w, r, &body) {
		return
	}
	through, back := cmp.Or(body.Through, new(string)), cmp.Or(body.Back, new(string))
	if body.Through != nil && body.Back != nil {
		through, back = new(string), new(string) // which of them counts is not said
	}
	ctx, cancel := checkContext(r)
	defer cancel()
	m, f := o.plan(ctx, r.PathValue("name"), *through, *back)
	if f != nil {
		f.refuse(w)
		return
	}
	answer(w, m)
}

func (o *Options) applyMove(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Plan   string `json:"plan"`
		Reason string `json:"reason"`
	}
	if !read(w, r, &body) {
		return
	}
	if body.Plan == "" {
		refuse(w, http.StatusUnprocessableEntity, "It is not said which plan.", FieldProblem{"plan", "is missing"})
		return
	}
	by := who(r, "api")
	by.Reason = body.Reason
	if f := o.apply(r.Context(), r.PathValue("name"), body.Plan, by); f != nil {
		f.refuse(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

type positionPage struct {
	frame
	Name, Back, Through, Reason, Wrong string
	Move                               *shownMove
}

func (o *Options) positionPage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	o.show(w, http.StatusOK, positionTemplate, &positionPage{frame: o.frame(r, "Set back "+name), Name: name, Back: "1h"})
}

// movePage plans first, and applies what was seen.
func (o *Options) movePage(w http.ResponseWriter, r *http.Request) {
	v := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	name := r.PathValue("name")
	p := &positionPage{frame: o.frame(r, "Set back "+name), Name: name, Back: v("back"), Through: v("through"), Reason: v("reason")}
	status := http.StatusOK
	var f *failure
	if v("action") == "apply" {
		by := who(r, "console")
		by.Reason = p.Reason
		if f = o.apply(r.Context(), name, v("plan"), by); f == nil {
			http.Redirect(w, r, "/connectors/"+name, http.StatusSeeOther)
			return
		}
	} else {
		ctx, cancel := checkContext(r)
		defer cancel()
		var m shownMove
		if m, f = o.plan(ctx, name, p.Through, p.Back); f == nil {
			p.Move = &m
		}
	}
	if f != nil {
		status, p.Wrong = f.status, f.detail
		for _, x := range f.fields {
			p.Wrong += " " + x.Field + " " + x.Detail + "."
		}
	}
	o.show(w, status, positionTemplate, p)
}
