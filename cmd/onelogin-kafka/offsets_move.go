package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/producer"
)

// moving are the flags of a command that moves positions.
type moving struct {
	cmd    *cobra.Command
	load   func() (*config.Config, error)
	yes    *bool
	json   *bool
	reason *string
}

func newMoving(cmd *cobra.Command) *moving {
	return &moving{
		cmd: cmd, load: configFlag(cmd),
		yes:    cmd.Flags().Bool("yes", false, "do it"),
		json:   cmd.Flags().Bool("json", false, "print the plan as one JSON object per connector and line"),
		reason: cmd.Flags().String("reason", "", "why, for the audit topic"),
	}
}

func (m *moving) editor(h *producer.Hand) *position.Editor {
	return &position.Editor{Hand: h, By: who(), Via: "command", Reason: *m.reason}
}

// run plans what targets say, prints it, and applies it with --yes. A connector
// that is refused keeps none of the others.
func (m *moving) run(ctx context.Context, cfg *config.Config, h *producer.Hand, targets map[string]position.Target) error {
	e := m.editor(h)
	var plans []position.Plan
	var shards int32
	failed := false
	fail := func(name string, err error) {
		failed = true
		fmt.Fprintf(m.cmd.ErrOrStderr(), "onelogin-kafka: %s: %s\n", clean(name), clean(err.Error()))
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		p, n, err := planned(ctx, cfg, e, name, targets[name])
		if errors.Is(err, position.ErrUnknown) && !configured(cfg, name) {
			return usage(nobody(name))
		}
		if err != nil {
			fail(name, err)
			continue
		}
		shards = n
		m.print(p)
		if !p.Nothing() {
			plans = append(plans, p.Plan)
		}
	}
	switch {
	case len(plans) == 0:
	case !*m.yes:
		fmt.Fprintln(m.notes(), "nothing was changed; --yes does it")
	default:
		errs := e.Apply(ctx, plans, shards)
		for _, p := range plans {
			name := p.Before.Connector
			if err := errs[name]; err != nil {
				fail(name, err)
				continue
			}
			fmt.Fprintf(m.notes(), "done: %s goes on from there by itself\n", clean(name))
		}
	}
	if failed {
		return &exitError{code: exitFail}
	}
	return nil
}

// notes is where what is no plan goes.
func (m *moving) notes() io.Writer {
	if *m.json {
		return m.cmd.ErrOrStderr()
	}
	return m.cmd.OutOrStdout()
}

// costed is a plan with what it costs.
type costed struct {
	position.Plan
	again, repeat, calls int64
}

// planned says what a target means, and counts. The owner goes on meanwhile, so the
// plan is made again after counting.
func planned(ctx context.Context, cfg *config.Config, e *position.Editor, name string, target position.Target) (*costed, int32, error) {
	p, shards, err := e.Plan(ctx, name, target)
	if err != nil {
		return nil, 0, err
	}
	c := &costed{Plan: p}
	if p.Again.Empty() {
		return c, shards, nil
	}
	events := position.Events{Cluster: e.Hand.Cluster, Topic: cfg.Topics.Events.Name, Key: cfg.Key}
	if err := events.Kept(ctx, &p, time.Now()); err != nil {
		return nil, 0, err
	}
	tally, err := events.Count(ctx, name, p.Again.From)
	if err != nil {
		return nil, 0, err
	}
	if target.Back > 0 {
		target.Through, target.Back = p.After.Offset.Through, 0
	}
	if c.Plan, _, err = e.Plan(ctx, name, target); err != nil {
		return nil, 0, err
	}
	c.again, c.repeat = tally.In(c.Again), tally.In(c.Repeat)
	c.calls = 2*(c.again/pageSize(cfg, name)) + 2
	return c, shards, nil
}

// pageSize is how many events a call brings.
func pageSize(cfg *config.Config, name string) int64 {
	i := slices.IndexFunc(cfg.Connectors, func(c config.Connector) bool { return c.Name == name })
	if i < 0 || cfg.Connectors[i].PageSize == 0 {
		return 1000
	}
	return int64(cfg.Connectors[i].PageSize)
}

// print prints a plan.
func (m *moving) print(c *costed) {
	out := m.cmd.OutOrStdout()
	if *m.json {
		printJSON(out, c)
		return
	}
	fmt.Fprintf(out, "%s\n", clean(c.Before.Connector))
	if c.Nothing() {
		fmt.Fprintln(out, "  is there already; nothing to do")
		return
	}
	change := func(label string, before, after time.Time) {
		text := func(s *position.State, t time.Time) string {
			if s.Fresh || t.IsZero() {
				return "none"
			}
			return t.Format(time.RFC3339Nano)
		}
		fmt.Fprintf(out, "  %-16s  %s → %s\n", label, text(&c.Before, before), text(&c.After, after))
	}
	a, b := &c.Before.Offset, &c.After.Offset
	change("through", a.Through, b.Through)
	change("window_start", a.WindowStart, b.WindowStart)
	change("complete_through", a.CompleteThrough, b.CompleteThrough)
	change("verified_through", a.VerifiedThrough, b.VerifiedThrough)
	fmt.Fprintf(out, "  %-16s  %d → %d\n", "known ids", c.Before.Known(), c.After.Known())
	if !c.Again.Empty() {
		fmt.Fprintf(out, "  asked again: what was created %s; %d such events are in the topic; about %d calls of the API\n", between(c.Again), c.again, c.calls)
	}
	if c.repeat > 0 || !c.Repeat.Empty() {
		fmt.Fprintf(out, "  MAY REPEAT: up to %d events created %s: their ids are forgotten, so they are published once more\n", c.repeat, between(c.Repeat))
	}
	if !c.Skip.Empty() {
		fmt.Fprintf(out, "  SKIPPED: what was created %s and is not in the topic is not polled any more; the daily comparison (verify.every) publishes it late\n", between(c.Skip))
	}
}

func between(r position.Range) string {
	return "from " + r.From.Format(time.RFC3339Nano) + " to " + r.To.Format(time.RFC3339Nano)
}

// MarshalJSON is the plan for machines.
func (c *costed) MarshalJSON() ([]byte, error) {
	value := func(s *position.State) json.RawMessage {
		if s.Fresh {
			return json.RawMessage("null")
		}
		return s.Offset.Marshal()
	}
	return json.Marshal(struct {
		Connector string          `json:"connector"`
		Nothing   bool            `json:"nothing_to_do"`
		Before    json.RawMessage `json:"before"`
		After     json.RawMessage `json:"after"`
		Again     *position.Range `json:"asked_again,omitempty"`
		AgainN    int64           `json:"events_asked_again"`
		Repeat    *position.Range `json:"may_repeat,omitempty"`
		RepeatN   int64           `json:"events_may_repeat"`
		Skip      *position.Range `json:"skipped,omitempty"`
		Calls     int64           `json:"calls"`
	}{c.Before.Connector, c.Nothing(), value(&c.Before), value(&c.After), c.Again.Shown(), c.again, c.Repeat.Shown(), c.repeat, c.Skip.Shown(), c.calls})
}

func newOffsetsSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set connector",
		Short: "Move a connector's position to another time",
		Long: "Move the position of a connector. Back: what was created from there on is asked for again; events whose ids\n" +
			"are known (since window_start) are not published again, those before it may be, once more. Forward: what lies\n" +
			"in between and is not in the topic is skipped. Prints the plan; --yes applies it: whoever polls the connector\n" +
			"is fenced, the position is compared with the plan, and written together with a record on the audit topic. A\n" +
			"position that somebody else has moved meanwhile is a conflict, and nothing is written.",
		Example: "  onelogin-kafka offsets set acme --back 1h\n" +
			"  onelogin-kafka offsets set acme --through 2026-11-22T07:05:00Z --yes --reason \"ticket 4711\"",
		Args: args(cobra.ExactArgs(1)),
	}
	m := newMoving(cmd)
	through := cmd.Flags().String("through", "", "the new position: a `time` (RFC 3339)")
	back := cmd.Flags().Duration("back", 0, "how far the position goes back")
	ifThrough := cmd.Flags().String("if-through", "", "refuse unless the position is this `time` now (RFC 3339)")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		target, err := setTarget(*through, *back)
		if err != nil {
			return usage(err)
		}
		expected, err := parseTime("--if-through", *ifThrough)
		if err != nil {
			return usage(err)
		}
		cfg, err := m.load()
		if err != nil {
			return err
		}
		return operating(cmd.Context(), cfg, func(h *producer.Hand) error {
			if !expected.IsZero() {
				p, err := readPositions(cmd.Context(), cfg, h, names)
				if err != nil {
					return err
				}
				if at := p.states[names[0]].Offset.Through; !at.Equal(expected) {
					return fmt.Errorf("%s: %w: it is at %s", names[0], position.ErrConflict, at.Format(time.RFC3339Nano))
				}
			}
			return m.run(cmd.Context(), cfg, h, map[string]position.Target{names[0]: target})
		})
	}
	return cmd
}

func setTarget(through string, back time.Duration) (position.Target, error) {
	if (through == "") == (back == 0) || back < 0 {
		return position.Target{}, errors.New("offsets set: give either --through with a time such as 2026-11-22T07:05:00Z, or --back with a duration such as 1h")
	}
	at, err := parseTime("--through", through)
	return position.Target{Through: at, Back: back}, err
}

// parseTime reads a flag's time; zero for none.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.IsZero() {
		return time.Time{}, errors.New(flag + " " + strconv.Quote(text) + " is no time such as 2026-11-22T07:05:00Z")
	}
	return at.UTC(), nil
}

func newOffsetsReset() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset connector…",
		Short: "Forget the position of connectors: they begin at their start_from",
		Long: "Forget the position and all known ids of connectors. They begin anew at the start_from of their\n" +
			"configuration, and publish what was created since once more. Prints the plan; --yes applies it.",
		Example: "  onelogin-kafka offsets reset acme\n  onelogin-kafka offsets reset acme --yes --reason \"new topic\"",
		Args:    args(cobra.MinimumNArgs(1)),
	}
	m := newMoving(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := m.load()
		if err != nil {
			return err
		}
		return operating(cmd.Context(), cfg, func(h *producer.Hand) error {
			targets := map[string]position.Target{}
			for _, name := range names {
				start := config.DefaultConnector().StartFrom
				if i := slices.IndexFunc(cfg.Connectors, func(c config.Connector) bool { return c.Name == name }); i >= 0 {
					start = cfg.Connectors[i].StartFrom
				}
				targets[name] = position.Target{Reset: true, StartFrom: start.Time(time.Now()).UTC().Round(0)}
			}
			return m.run(cmd.Context(), cfg, h, targets)
		})
	}
	return cmd
}

func newOffsetsImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import [file]",
		Short: "Move positions to what offsets export has printed",
		Long: "Read what offsets export has printed, from a file or from standard input, and move each connector's position\n" +
			"there. What is known now stays known, and what the export knows is known, too. Connectors without a position\n" +
			"get that of the export. Prints the plan; --yes applies it.",
		Example: "  onelogin-kafka offsets import positions.json\n" +
			"  onelogin-kafka offsets export --config old.yaml | onelogin-kafka offsets import --config new.yaml --yes",
		Args: args(cobra.MaximumNArgs(1)),
	}
	m := newMoving(cmd)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		cfg, err := m.load()
		if err != nil {
			return err
		}
		var text []byte
		if len(list) == 1 {
			text, err = os.ReadFile(list[0])
		} else {
			text, err = io.ReadAll(cmd.InOrStdin())
		}
		if err != nil {
			return usage(fmt.Errorf("reading what to import: %w", err))
		}
		targets, err := importTargets(text)
		if err != nil {
			return usage(fmt.Errorf("reading what to import: %w", err))
		}
		return operating(cmd.Context(), cfg, func(h *producer.Hand) error {
			for name := range targets {
				if !configured(cfg, name) {
					return usage(fmt.Errorf("connector %s is not in the configuration: nobody would poll it", name))
				}
			}
			return m.run(cmd.Context(), cfg, h, targets)
		})
	}
	return cmd
}

// importTargets reads JSON objects, one after the other.
func importTargets(text []byte) (map[string]position.Target, error) {
	targets := map[string]position.Target{}
	dec := json.NewDecoder(bytes.NewReader(text))
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) && len(targets) > 0 {
			return targets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("object %d is no JSON: %w", n, err)
		}
		st, err := position.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", n, err)
		}
		if _, twice := targets[st.Connector]; twice {
			return nil, fmt.Errorf("object %d: connector %s is there twice", n, st.Connector)
		}
		targets[st.Connector] = position.Target{Import: &st}
	}
}
