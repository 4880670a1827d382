package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/producer"
)

// positions are those that a command was asked for.
type positions struct {
	names  []string // sorted
	states map[string]position.State
	errs   map[string]error
	shards int32
}

// readPositions reads those of some connectors, or of all that have one. A name
// that nobody knows is a usage error.
func readPositions(ctx context.Context, cfg *config.Config, h *producer.Hand, names []string) (*positions, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	e := position.Editor{Hand: h}
	p := &positions{}
	var err error
	if p.states, p.errs, p.shards, err = e.Read(ctx, names...); err != nil {
		return nil, fmt.Errorf("reading positions: %w", err)
	}
	for _, name := range names {
		if st, ok := p.states[name]; ok && st.Fresh && !configured(cfg, name) {
			return nil, usage(nobody(name))
		}
	}
	p.names = slices.Sorted(maps.Keys(p.states))
	return p, nil
}

// nobody is the error for a name that nobody knows.
func nobody(name string) error {
	return fmt.Errorf("connector %s has no position, and %w; onelogin-kafka offsets list shows all that have one", clean(name), errNobody)
}

// failed prints why positions cannot be read, and is the error of the command
// then.
func (p *positions) failed(errs io.Writer) error {
	for _, name := range slices.Sorted(maps.Keys(p.errs)) {
		fmt.Fprintln(errs, "onelogin-kafka:", clean(p.errs[name].Error()))
	}
	if len(p.errs) > 0 {
		return &exitError{code: exitFail}
	}
	return nil
}

// showing makes a command that reads positions and prints them.
func showing(cmd *cobra.Command, jsonHelp string, write func(out io.Writer, p *positions, asJSON bool) error) *cobra.Command {
	load := configFlag(cmd)
	asJSON := new(bool)
	if jsonHelp != "" {
		asJSON = cmd.Flags().Bool("json", false, jsonHelp)
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return operating(cmd.Context(), cfg, func(h *producer.Hand) error {
			p, err := readPositions(cmd.Context(), cfg, h, names)
			if err != nil {
				return err
			}
			if err := write(cmd.OutOrStdout(), p, *asJSON); err != nil {
				return err
			}
			return p.failed(cmd.ErrOrStderr())
		})
	}
	return cmd
}

func newOffsetsList() *cobra.Command {
	return showing(&cobra.Command{
		Use:   "list [connector…]",
		Short: "Positions of all connectors that have one",
		Long: "List positions, from the offsets topic. THROUGH is created_at of the newest event published, COMPLETE how long\n" +
			"ago everything was read again, WINDOW how far the ids that are known reach back behind THROUGH.\n" +
			"With --json one object per connector and line: what offsets export prints, without the minutes.",
		Example: "  onelogin-kafka offsets list\n  onelogin-kafka offsets list acme globex --json",
	}, "print one JSON object per connector and line", func(out io.Writer, p *positions, asJSON bool) error {
		now := time.Now()
		if !asJSON {
			fmt.Fprintf(out, offsetsRow, "CONNECTOR", "THROUGH", "AGE", "COMPLETE", "WINDOW", "EVENTS", "WRITTEN", "SHARD")
		}
		for _, name := range p.names {
			st := p.states[name]
			if asJSON {
				st.Minutes = nil
				printJSON(out, st)
				continue
			}
			listed(out, &st, position.Shard(name, p.shards), now)
		}
		return nil
	})
}

const offsetsRow = "%-24s  %-20s  %5s  %8s  %6s  %10s  %7s  %5v\n"

func listed(out io.Writer, st *position.State, shard int32, now time.Time) {
	name := clean(st.Connector)
	if utf8.RuneCountInString(name) > statusName {
		fmt.Fprintln(out, name)
		name = ""
	}
	if st.Fresh {
		fmt.Fprintf(out, offsetsRow, name, "none yet", "-", "-", "-", "-", "-", shard)
		return
	}
	o := &st.Offset
	fmt.Fprintf(out, offsetsRow, name, o.Through.Format(time.RFC3339), since(o.Through, now), since(o.CompleteThrough, now),
		fleet.Ago(max(o.Through.Sub(o.WindowStart), 0)), fmt.Sprint(o.Events), since(o.UpdatedAt, now), shard)
}

func newOffsetsShow() *cobra.Command {
	return showing(&cobra.Command{
		Use:     "show connector…",
		Short:   "A connector's position and the ids that are known, by minute",
		Long:    "Show positions whole. With --json what offsets export prints: offsets import reads it.",
		Example: "  onelogin-kafka offsets show acme\n  onelogin-kafka offsets show acme --json",
		Args:    args(cobra.MinimumNArgs(1)),
	}, "print one JSON object per connector and line, as offsets export does", func(out io.Writer, p *positions, asJSON bool) error {
		for _, name := range p.names {
			st := p.states[name]
			if asJSON {
				printJSON(out, st)
				continue
			}
			show(out, &st, position.Shard(name, p.shards), time.Now())
		}
		return nil
	})
}

func show(out io.Writer, st *position.State, shard int32, now time.Time) {
	fmt.Fprintf(out, "connector         %s\nshard             %d\n", clean(st.Connector), shard)
	if st.Fresh {
		fmt.Fprintln(out, "position          none yet: it begins at its start_from")
		return
	}
	o := &st.Offset
	moment := func(label string, t time.Time) {
		if t.IsZero() {
			fmt.Fprintf(out, "%-16s  -\n", label)
			return
		}
		fmt.Fprintf(out, "%-16s  %s  (%s ago)\n", label, t.Format(time.RFC3339Nano), fleet.Ago(max(now.Sub(t), 0)))
	}
	fmt.Fprintf(out, "domain            %s\naccount_id        %d\nevents            %d\nlast_id           %d\n", clean(o.Domain), o.AccountID, o.Events, o.LastID)
	moment("through", o.Through)
	moment("complete_through", o.CompleteThrough)
	moment("window_start", o.WindowStart)
	moment("updated_at", o.UpdatedAt)
	fmt.Fprintf(out, "known ids         %d in %d minutes\n", st.Known(), len(st.Minutes))
	for _, minute := range slices.SortedFunc(maps.Keys(st.Minutes), time.Time.Compare) {
		fmt.Fprintf(out, "  %s  %d\n", minute.Format("2006-01-02T15:04Z"), len(st.Minutes[minute]))
	}
}

func newOffsetsExport() *cobra.Command {
	return showing(&cobra.Command{
		Use:   "export [connector…]",
		Short: "Print positions so that offsets import can read them",
		Long: "Print one JSON object per connector and line: its position and the ids that are known to be published, as they\n" +
			"are on the topic. offsets import reads it, here or on another Kafka.",
		Example: "  onelogin-kafka offsets export > positions.json\n  onelogin-kafka offsets export acme",
	}, "", func(out io.Writer, p *positions, _ bool) error {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for _, name := range p.names {
			if p.states[name].Fresh {
				continue // there is nothing to export
			}
			if err := enc.Encode(p.states[name]); err != nil {
				return fmt.Errorf("exporting %s: %w", name, err)
			}
		}
		return nil
	})
}
