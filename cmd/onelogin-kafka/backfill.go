package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/schemas"
)

func newBackfill() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backfill connector", Short: "Publish what OneLogin shows of an earlier time and the topic lacks",
		Long: "Publish what OneLogin shows of a time and the events topic lacks, mostly from before the connector's start_from.\n" +
			"Each event is compared by its id, so nothing is published twice, and the live poll goes on untouched; what is\n" +
			"published says `late: true`. It ends where the live poll's re-read window begins.\n" +
			"Prints the plan; --yes asks the fleet for the job, and shows how far it is until it has ended. Ctrl-C leaves the\n" +
			"job running. Its API calls come after those of polls and sweeps.\n\n" +
			"A range that begins before the topic keeps events is refused: what was there before and is deleted cannot be told\n" +
			"from what never was, so it would be published once more, and Kafka would delete it again at its next cleanup. Where\n" +
			"that is meant (a consumer that reads at once), --beyond-retention does it.\n\n" +
			"Exits with 0 if the range is whole afterwards, and with 1 if anything is missing, altered or there twice, if the job\n" +
			"failed or was cancelled, and after Ctrl-C. With --json the plan, or the job, as one object.",
		Example: "  onelogin-kafka backfill acme --from 2026-10-01T00:00:00Z\n" +
			"  onelogin-kafka backfill acme --from 720h --to 24h --yes --reason \"ticket 4711\"\n" +
			"  onelogin-kafka backfill acme --cancel",
		Args: args(cobra.ExactArgs(1)),
	}
	load := configFlag(cmd)
	var (
		asJSON = cmd.Flags().Bool("json", false, "print one JSON object")
		from   = cmd.Flags().String("from", "", "where to begin: a `duration` ago or a time (RFC 3339)")
		to     = cmd.Flags().String("to", "", "where to end, likewise (default: where the re-read window begins)")
		older  = cmd.Flags().Bool("beyond-retention", false, "publish also what the topic has deleted")
		yes    = cmd.Flags().Bool("yes", false, "do it")
		a      = newAsking(cmd, asJSON)
	)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		w := jobs.Wish{Kind: schemas.JobBackfill, Connector: names[0], Older: *older}
		if !*a.cancel {
			if *from == "" {
				return usage(errors.New("backfill: --from says where to begin: a duration ago such as 720h, or a time such as 2026-10-01T00:00:00Z"))
			}
			r, err := parseRange(names[0], *from, *to, time.Now())
			if err != nil {
				return usage(err)
			}
			w.From, w.To = r.From, r.To
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return withBoard(cmd.Context(), cfg, func(b *board) error {
			if err := b.must(w.Connector); err != nil {
				return err
			}
			if *a.cancel {
				return b.cancelOpen(cmd, w.Connector, a.by(), *asJSON, schemas.JobBackfill)
			}
			p, err := b.Plan(cmd.Context(), w)
			if err != nil {
				return advised(err)
			}
			if !*yes {
				return b.printPlan(cmd, p, *asJSON)
			}
			return a.run(b, w)
		})
	}
	return cmd
}

// advised adds what to say for a backfill that was refused.
func advised(err error) error {
	if _, old := errors.AsType[*jobs.RetentionError](err); old {
		return fmt.Errorf("%w (--beyond-retention)", err)
	}
	return err
}

// printPlan says what a backfill means.
func (b *board) printPlan(cmd *cobra.Command, p jobs.Plan, asJSON bool) error {
	events := position.Events{Cluster: b.cluster, Topic: b.cfg.Topics.Events.Name, Key: b.cfg.Key}
	tally, err := events.Count(cmd.Context(), p.Connector, p.From)
	if err != nil {
		return err
	}
	there := tally.In(position.Range{From: p.From, To: p.To})
	out := cmd.OutOrStdout()
	if asJSON {
		printJSON(out, struct {
			Connector string          `json:"connector"`
			Kind      schemas.JobKind `json:"kind"`
			From      time.Time       `json:"from"`
			To        time.Time       `json:"to"`
			Older     bool            `json:"beyond_retention"`
			Kept      time.Time       `json:"topic_begins,omitzero"`
			There     int64           `json:"events_in_topic"`
		}{p.Connector, p.Kind, p.From, p.To, p.Older, p.Kept, there})
		return nil
	}
	fmt.Fprintf(out, "%s\n", clean(p.Connector))
	fmt.Fprintf(out, "  from %s to %s: %d events are in the topic, and stay as they are\n", p.From.Format(time.RFC3339), p.To.Format(time.RFC3339), there)
	fmt.Fprintln(out, "  what OneLogin shows besides is published with late: true, after polls and sweeps in the budget's order")
	if p.From.Before(p.Kept) {
		fmt.Fprintf(out, "  MAY REPEAT: the topic keeps nothing from before %s (%s): what was there is published once more, and deleted again\n", p.Kept.Format(time.RFC3339), p.Why)
	}
	fmt.Fprintln(out, "nothing was changed; --yes does it")
	return nil
}
