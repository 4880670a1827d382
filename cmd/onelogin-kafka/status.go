package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/wire"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [connector…]",
		Short: "Collection status of every connector, worst first",
		Long: "Show how every connector fares, worst first, from the status topic alone: it works from any machine, and\n" +
			"when no instance is alive. A status that is older than 2 minutes counts for nothing, since an owner writes\n" +
			"one every 30 s: its connector is INACTIVE. Connectors of files and of the control log without a status are\n" +
			"shown too. LAG is how far behind OneLogin the last poll was; up to COMPL ago everything was read twice, and up\n" +
			"to VERIF ago the topic was compared with OneLogin event by event.\n" +
			"Exits with 1 if any of the connectors asked for is FAILING or INACTIVE.\n\n" +
			"With --json one object per connector and line: the record as on the topic, with the state as judged here,\n" +
			"what the record said as \"reported\", and \"age_seconds\".\n\n" +
			"--watch goes on until Ctrl-C, and exits with 0: on a terminal the table is drawn anew, elsewhere a line (with\n" +
			"--json an object) follows for each connector whose state or message has changed.",
		Example: "  onelogin-kafka status\n" +
			"  onelogin-kafka status acme globex\n" +
			"  onelogin-kafka status --watch\n" +
			"  onelogin-kafka status --json | jq -r 'select(.state==\"FAILING\").connector'",
	}
	load := configFlag(cmd)
	var (
		asJSON = cmd.Flags().Bool("json", false, "print one JSON object per connector and line")
		watch  = cmd.Flags().Bool("watch", false, "go on until Ctrl-C")
		all    = cmd.Flags().Bool("all", false, "list the connectors that are well one by one, however many they are")
	)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		p := &statusPrinter{out: cmd.OutOrStdout(), json: *asJSON, all: *all || len(names) > 0}
		return withCluster(cmd.Context(), cfg, func(cluster *wire.Cluster) error {
			known, err := withLogged(cmd.Context(), cfg, cluster)
			if err != nil {
				return err
			}
			p.shadowed = known.shadowed
			s := &statuses{
				topic: fleet.Topic{Cluster: cluster, Name: cfg.Topics.Status.Name}, view: fleet.NewView(configuredNames(cfg)...), names: names, aside: cfg.SetAside,
			}
			if *watch {
				return s.watch(cmd.Context(), p)
			}
			return known.explain(s.once(cmd.Context(), p))
		})
	}
	return cmd
}

// configuredNames are the names of all connectors in the configuration, those
// that are set aside included.
func configuredNames(cfg *config.Config) []string {
	var names []string
	for i := range cfg.Connectors {
		names = append(names, cfg.Connectors[i].Name)
	}
	for _, s := range cfg.SetAside {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// statuses are those that a command shows.
type statuses struct {
	topic fleet.Topic
	view  *fleet.View
	names []string // empty = all
	aside []config.SetAside
}

// kafkaPatience bounds how long a command waits for the first answers.
const kafkaPatience = 30 * time.Second

// read reads the topic to its end.
func (s *statuses) read(ctx context.Context) (ends []int64, err error) {
	tctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	if ends, err = s.topic.Read(tctx, s.view); err != nil {
		return nil, err
	}
	list := s.view.List(time.Now())
	for _, name := range s.names {
		if !slices.ContainsFunc(list, func(st fleet.Status) bool { return st.Connector == name }) {
			return nil, usage(fmt.Errorf("connector %s has no status, and %w; onelogin-kafka status shows all", clean(name), errNobody))
		}
	}
	return ends, nil
}

// list is what is asked for. Of a connector that nobody has reported yet it tells
// why it is set aside, if it is by what is seen here.
func (s *statuses) list() []fleet.Status {
	list := s.view.List(time.Now())
	if len(s.names) > 0 {
		list = slices.DeleteFunc(list, func(st fleet.Status) bool { return !slices.Contains(s.names, st.Connector) })
	}
	for _, a := range s.aside {
		i := slices.IndexFunc(list, func(st fleet.Status) bool { return st.Age < 0 && st.Connector == a.Name })
		if i >= 0 {
			list[i].Message += "; it is set aside: " + a.Reason()
			list[i].Advice = service.ErrorOf(a).Advice
		}
	}
	return list
}

func (s *statuses) once(ctx context.Context, p *statusPrinter) error {
	if _, err := s.read(ctx); err != nil {
		return err
	}
	list := s.list()
	p.table(list, time.Now())
	for i := range list {
		if !list[i].Well() {
			return &exitError{code: exitFail}
		}
	}
	return nil
}

// drawEvery is how often a table that is watched is drawn anew: ages grow though
// nothing comes.
const drawEvery = time.Second

func (s *statuses) watch(ctx context.Context, p *statusPrinter) error {
	ends, err := s.read(ctx)
	if err != nil {
		return err
	}
	if len(ends) == 0 {
		return fmt.Errorf("topic %s does not exist yet: start onelogin-kafka run first", s.topic.Name)
	}
	fctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.topic.Follow(fctx, s.view, ends, func() {}) }()
	terminal := isTerminal(p.out)
	if !terminal {
		p.table(s.list(), time.Now())
	}
	told := s.list()
	for {
		if terminal {
			p.draw(s.list(), time.Now())
		} else {
			now := s.list()
			p.changes(told, now)
			told = now
		}
		select {
		case err := <-done:
			stop()
			return err
		default:
		}
		if sleep(ctx, drawEvery) != nil {
			stop()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
	}
}

// statusPrinter writes statuses to a terminal or a pipe.
type statusPrinter struct {
	out  io.Writer
	json bool
	all  bool // list each of those that are well
	// shadowed are connectors of the control log whose name a file has.
	shadowed []string
}

// mostWell is how many connectors that are well are listed one by one.
const mostWell = 50

// table prints all, at most 100 columns wide.
func (p *statusPrinter) table(list []fleet.Status, now time.Time) {
	if p.json {
		for i := range list {
			printJSON(p.out, &list[i])
		}
		return
	}
	fmt.Fprint(p.out, p.text(list, now))
}

// mostDrawn is how many lines of a table are drawn again and again.
const mostDrawn = 60

// draw draws the table over the one before.
func (p *statusPrinter) draw(list []fleet.Status, now time.Time) {
	lines := strings.SplitAfter(p.text(list, now), "\n")
	if len(lines) > mostDrawn {
		lines = append(lines[:mostDrawn], "…\n")
	}
	fmt.Fprintf(p.out, "\x1b[H\x1b[2J%s\n%s", now.UTC().Format(time.RFC3339), strings.Join(lines, ""))
}

// changes prints a line for each connector that is not as it was.
func (p *statusPrinter) changes(before, now []fleet.Status) {
	old := map[string]*fleet.Status{}
	for i := range before {
		old[before[i].Connector] = &before[i]
	}
	for i := range now {
		s := &now[i]
		o := old[s.Connector]
		// What is said of a stale record has its age in it.
		if o != nil && o.State == s.State && (o.Message == s.Message || o.Age > fleet.Stale && s.Age > fleet.Stale) {
			continue
		}
		if p.json {
			printJSON(p.out, s)
			continue
		}
		was := "new"
		if o != nil {
			was = string(o.State)
		}
		fmt.Fprintf(p.out, "%s  %s  %s → %s%s\n", time.Now().UTC().Format(time.RFC3339), clean(s.Connector), was, s.State, reason(s))
	}
}
