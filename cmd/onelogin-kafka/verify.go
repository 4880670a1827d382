package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/reconcile"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin"
)

// verifyTries is how often in a row OneLogin may fail before a verify does.
const verifyTries = 6

func newVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify <connector>",
		Short: "Compare what OneLogin shows with what is in the topic, event by event",
		Long: "Compare what OneLogin shows of a time with what the events topic has of it: which events are missing, which\n" +
			"are there with other bytes, which are there twice. It changes nothing and needs no running instance, only\n" +
			"OneLogin and Kafka. It ends where the re-read window of the live poll begins: what is newer may still come.\n" +
			"What the topic has deleted (retention) is not missing: the range is cut there, and the report says so.\n" +
			"Its API calls come out of the tenth of the connector's share that is left to such work.\n\n" +
			"With --repair it is a job instead: whoever polls the connector compares, and publishes what is missing with\n" +
			"`late: true`, so that nothing is there twice. Ctrl-C leaves the job running; see onelogin-kafka jobs.\n\n" +
			"Exits with 0 if the topic is whole, or was made so, and with 1 if anything is missing, altered or there twice, if\n" +
			"it failed or was cancelled, and after Ctrl-C. With --json one object, with at most 100 findings; with --repair\n" +
			"the job, with at most 20.",
		Example: "  onelogin-kafka verify acme\n" +
			"  onelogin-kafka verify acme --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z\n" +
			"  onelogin-kafka verify acme --from 72h --json | jq .missing\n" +
			"  onelogin-kafka verify acme --from 72h --repair --reason \"ticket 4711\"",
		Args: args(cobra.ExactArgs(1)),
	}
	load := configFlag(cmd)
	var (
		asJSON = cmd.Flags().Bool("json", false, "print one JSON object")
		from   = cmd.Flags().String("from", "24h", "where to begin: a `duration` ago or a time (RFC 3339)")
		to     = cmd.Flags().String("to", "", "where to end, likewise (default: where the re-read window begins)")
		repair = cmd.Flags().Bool("repair", false, "publish what is missing: a job of whoever polls the connector")
		a      = newAsking(cmd, asJSON)
	)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		if !*repair && !*a.cancel && (*a.detach || cmd.Flags().Changed("reason")) {
			return usage(errors.New("verify: --detach and --reason belong to --repair: without it nothing is asked of the fleet"))
		}
		wish, err := parseRange(list[0], *from, *to, time.Now())
		if err != nil {
			return usage(err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		if *repair || *a.cancel {
			return withBoard(cmd.Context(), cfg, func(b *board) error {
				if err := b.must(wish.Connector); err != nil {
					return err
				}
				if *a.cancel {
					return b.cancelOpen(cmd, wish.Connector, a.by(), *asJSON, schemas.JobVerify, schemas.JobRepair)
				}
				return a.run(b, jobs.Wish{Kind: schemas.JobRepair, Connector: wish.Connector, From: wish.From, To: wish.To})
			})
		}
		var report *schemas.Report
		err = withCluster(cmd.Context(), cfg, func(cluster *wire.Cluster) error {
			report, err = verify(cmd.Context(), cfg, cluster, wish, cmd.ErrOrStderr())
			return err
		})
		if report != nil {
			printReport(cmd.OutOrStdout(), *asJSON, wish.Connector, report, err)
		}
		if err == nil && !report.Whole() {
			return &exitError{code: exitFail}
		}
		return err
	}
	return cmd
}

// parseRange reads a range; a zero To stands for as far as there is.
func parseRange(connector, from, to string, now time.Time) (reconcile.Wish, error) {
	w := reconcile.Wish{Connector: connector}
	var err error
	if w.From, err = parseMoment("--from", from, now); err != nil {
		return w, err
	}
	if to != "" {
		if w.To, err = parseMoment("--to", to, now); err != nil {
			return w, err
		}
		if !w.From.Before(w.To) {
			return w, fmt.Errorf("--from %s is not before --to %s", from, to)
		}
	}
	if w.From.After(now) {
		return w, fmt.Errorf("--from %s is in the future", from)
	}
	return w, nil
}

func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.Year() >= 1970 {
		return at.UTC(), nil
	}
	return time.Time{}, errors.New(flag + " " + strconv.Quote(text) + " is neither a duration such as 24h nor a time such as 2026-11-22T07:05:00Z")
}

// verify compares a range; the report is nil where nothing was begun.
func verify(ctx context.Context, cfg *config.Config, cluster *wire.Cluster, w reconcile.Wish, notes io.Writer) (*schemas.Report, error) {
	cc, err := polled(ctx, cfg, cluster, w.Connector)
	if err != nil {
		return nil, err
	}
	position, err := reconcile.Position(ctx, cluster, cfg.Topics.Offsets.Name, w.Connector)
	if err != nil {
		return nil, err
	}
	if w.To.IsZero() || w.To.After(position.WindowStart) {
		w.To = position.WindowStart
	}
	if !w.From.Before(w.To) {
		return nil, usage(fmt.Errorf("nothing to verify: --from is %s, and the re-read window of connector %s begins at %s",
			w.From.Format(time.RFC3339), w.Connector, w.To.Format(time.RFC3339)))
	}
	transport := service.Transport(cfg, onelogin.Limits{})
	defer transport.CloseIdleConnections()
	client, err := onelogin.New(service.Account(*cc),
		onelogin.Options{HTTP: transport, Log: zerolog.Nop(), UserAgent: build.UserAgent()})
	if err != nil {
		return nil, err
	}
	bar := newProgress(notes)
	defer bar.end()
	c := &reconcile.Comparison{
		Wish:   w,
		Topic:  reconcile.NewTopic(&reconcile.KafkaLog{Cluster: cluster, Topic: cfg.Topics.Events.Name, Progress: bar.records}, 0),
		Reader: &source.Reader{Connector: cc.Name, Client: client, Budget: source.NewBudget(cc.RateLimit.Share), PageSize: cc.PageSize},
		Tries:  verifyTries,
		Advance: func(_ context.Context, r *schemas.Report) error {
			bar.report(*r)
			return nil
		},
		Troubled: bar.trouble,
	}
	return c.Run(ctx)
}

// reportJSON is a report as it is printed with --json.
type reportJSON struct {
	Connector string            `json:"connector"`
	From      time.Time         `json:"from"`
	To        time.Time         `json:"to"`
	Through   time.Time         `json:"through"`
	Kept      time.Time         `json:"topic_begins,omitzero"`
	Whole     bool              `json:"whole"`
	Events    int64             `json:"events"`
	Missing   int64             `json:"missing"`
	Altered   int64             `json:"altered"`
	Duplicate int64             `json:"duplicate"`
	Unshown   int64             `json:"unshown"`
	Findings  []schemas.Finding `json:"findings,omitempty"`
	Error     string            `json:"error,omitempty"`
}

func printReport(out io.Writer, asJSON bool, connector string, r *schemas.Report, failed error) {
	if asJSON {
		o := reportJSON{connector, r.From, r.To, r.Through, r.Kept, failed == nil && r.Whole(), r.Events, r.Missing, r.Altered, r.Duplicate, r.Unshown, r.Findings, ""}
		if failed != nil {
			o.Error = failed.Error()
		}
		printJSON(out, o)
		return
	}
	published := ""
	if r.Repaired > 0 {
		published = fmt.Sprintf(" and %d of them published", r.Repaired)
	}
	fmt.Fprintf(out, "%s from %s to %s: %d events, %d missing%s, %d altered, %d twice\n",
		clean(connector), r.From.Format(time.RFC3339), r.Through.Format(time.RFC3339), r.Events, r.Missing, published, r.Altered, r.Duplicate)
	if !r.Kept.IsZero() {
		fmt.Fprintf(out, "the topic keeps nothing from before %s: what is older was not compared\n", r.Kept.Format(time.RFC3339))
	}
	if r.Unshown > 0 {
		fmt.Fprintf(out, "%d events of the topic are not shown by OneLogin any more\n", r.Unshown)
	}
	for _, f := range r.Findings {
		text := fmt.Sprintf("  %-9s  id %d", f.Kind, f.ID)
		if !f.From.IsZero() {
			text += "  " + f.From.Format(time.RFC3339Nano)
		}
		if f.Events > 1 {
			text += fmt.Sprintf(" to %s, %d events", f.To.Format(time.RFC3339Nano), f.Events)
		}
		fmt.Fprintln(out, text)
	}
}
