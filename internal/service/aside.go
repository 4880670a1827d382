package service

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// A connector that is set aside is a connector like any other, but for its
// client, which does not ask: it says what is wrong with the configuration. So
// the owner of its shard has it FAILING, and shows it wherever it shows others.

// client is the API as a connector asks it.
type client interface {
	source.Client
	Check(ctx context.Context, progress func(stage string)) error
	EventTypes(ctx context.Context) (map[int64]string, error)
	AccountID() int64
	Begin(ctx context.Context) error
}

// refusing is the client of a connector that is set aside.
type refusing struct{ err *source.APIError }

func (r *refusing) Page(context.Context, source.Query) (source.Page, error) {
	return source.Page{}, r.err
}
func (r *refusing) Begin(ctx context.Context) error                      { return ctx.Err() }
func (r *refusing) Check(context.Context, func(string)) error            { return r.err }
func (r *refusing) EventTypes(context.Context) (map[int64]string, error) { return nil, r.err }
func (r *refusing) AccountID() int64                                     { return 0 }

// ErrorOf is what a check of a connector says that is set aside.
func ErrorOf(a config.SetAside) *source.APIError {
	return &source.APIError{
		Kind: source.Configuration, Stage: stageConfiguration, Message: "Configuration Error: " + a.Reason(),
		Advice: "Mend it there; a service that runs takes it over by itself.",
	}
}

// setAside makes a connector of one that is set aside.
func (s *Service) setAside(a config.SetAside) *connector {
	cc := config.DefaultConnector()
	cc.Name = a.Name
	c := s.assemble(cc, &refusing{ErrorOf(a)})
	c.aside = a.Reason()
	// Of no account that another could be of.
	c.account = &account{budget: source.NewBudget(1), members: map[string]*connector{}}
	c.poller.Budget = c.account.budget
	return c
}

// asides are the connectors that are set aside, those that run included, by
// name; those without one by what is wrong.
type asides map[string]config.SetAside

func asidesOf(cfg *config.Config) asides {
	a := asides{}
	for _, s := range cfg.SetAside {
		a.add(s)
	}
	return a
}

func (a asides) add(s config.SetAside) {
	key := s.Name
	if key == "" {
		key = "\x00" + s.Reason() // no name
	}
	a[key] = s
}

// without are those of a that are not in b as they are.
func (a asides) without(b asides) asides {
	some := asides{}
	for key, s := range a {
		if t, ok := b[key]; !ok || t.File != s.File || t.Runs != s.Runs || !slices.Equal(t.Problems, s.Problems) {
			some[key] = s
		}
	}
	return some
}

// tell logs each of them, a line for each problem.
func (a asides) tell(log *zerolog.Logger) {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		s := a[key]
		text := "the connector is set aside, the others run"
		if s.Runs {
			text = "the connector's new configuration is set aside, the last good one stays in use"
		}
		for _, p := range s.Problems {
			log.Error().Str("connector", s.Name).Func(place(p)).Str("reason", p.Message).Msg(text)
		}
	}
}

// show adds what is wrong with the configuration of a connector that runs on
// with the last good one, unless there is worse.
func (a asides) show(st *schemas.ConnectorStatus) {
	if s, ok := a[st.Connector]; ok && s.Runs && st.Message == "" {
		st.Stage, st.Message = stageConfiguration, "the last good configuration stays in use: "+s.Reason()
		st.Advice = adviceGood
	}
}

// count counts them by what the metric tells of them: connector, file, and
// whether it is polled.
func (a asides) count() map[[3]string]int {
	n := map[[3]string]int{}
	for _, s := range a {
		n[[3]string{s.Name, cmp.Or(s.File, s.Problems[0].File), strconv.FormatBool(s.Runs)}]++
	}
	return n
}

// setAsides counts what is set aside, by the labels of the metric.
func (s *Service) setAsides() map[[3]string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aside.count()
}
