package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/schemas"
)

func newTail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail [connector]",
		Example: "  onelogin-kafka tail\n  onelogin-kafka tail acme --from 1h --type USER_LOGGED_INTO_ONELOGIN\n" +
			"  onelogin-kafka tail --from earliest --json | jq -r .value.user_name",
		Short: "Print events as they arrive in the topic, read committed",
		Long: "Print events as they arrive in the topic, read committed: only what can never be taken back.\n" +
			"One line per event with its time, connector, type, user, actor, app and address; with --json\n" +
			"one object per line with the record as it is.",
		Args: args(cobra.MaximumNArgs(1)),
	}
	load := configFlag(cmd)
	var (
		asJSON = cmd.Flags().Bool("json", false, "print one JSON object per line")
		start  = cmd.Flags().String("from", "latest", "where to begin: earliest, latest, a `duration` ago or a time (RFC 3339)")
		typ    = cmd.Flags().String("type", "", "only events of this type, by `id or name`")
	)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		from, err := parseFrom(*start, time.Now())
		if err != nil {
			return usage(err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		filter := filter{typ: *typ}
		if len(list) == 1 {
			filter.connector = list[0]
			if glance(cmd.Context(), cfg); !configured(cfg, list[0]) {
				fmt.Fprintf(cmd.ErrOrStderr(), "onelogin-kafka: connector %s is not in the configuration; events it has left in the topic are shown\n", clean(list[0]))
			}
		}
		p := &printer{out: cmd.OutOrStdout(), json: *asJSON}
		return runTail(cmd.Context(), cfg, from, cmd.ErrOrStderr(), func(partition int32, offset int64, r *schemas.Record) error {
			if !filter.match(r) {
				return nil
			}
			return p.print(partition, offset, r)
		})
	}
	return cmd
}

// runTail follows the events topic until ctx ends.
func runTail(ctx context.Context, cfg *config.Config, from from, notes io.Writer, do recordFunc) error {
	note := func(text string) { fmt.Fprintln(notes, "onelogin-kafka:", text) }
	if err := awaitEmbedded(ctx, cfg, note); err != nil {
		return nil // ctx ended first
	}
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return usage(err)
	}
	defer cluster.Close()
	f := &follower{cluster: cluster, topic: cfg.Topics.Events.Name, from: from, do: do, note: note}
	err = f.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// from is where a tail begins: at the start, at the end (the zero value), or at
// a time.
type from struct {
	earliest bool
	at       time.Time
}

func parseFrom(text string, now time.Time) (from, error) {
	switch text {
	case "earliest":
		return from{earliest: true}, nil
	case "latest":
		return from{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return from{at: now.Add(-d)}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return from{at: at}, nil
	}
	return from{}, errors.New("--from " + strconv.Quote(text) + " is none of earliest, latest, a duration such as 10m, or a time such as 2026-11-22T07:05:00Z")
}

// filter picks events by their headers.
type filter struct {
	connector string // empty = any
	typ       string // id or name of the event type; empty = any
}

func (f *filter) match(r *schemas.Record) bool {
	if f.connector != "" && header(r, schemas.HeaderTenant) != f.connector {
		return false
	}
	return f.typ == "" || strings.EqualFold(f.typ, header(r, schemas.HeaderEventType)) || f.typ == typeID(r)
}

func header(r *schemas.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// typeID is the event type's id as the CloudEvents type ends in it.
func typeID(r *schemas.Record) string {
	t := header(r, schemas.HeaderType)
	return t[strings.LastIndexByte(t, '.')+1:]
}
