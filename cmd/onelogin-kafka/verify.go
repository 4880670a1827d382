package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
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
			"Exits with 0 if the topic is whole, and with 1 if anything is missing, altered or there twice, or if it failed.\n" +
			"With --json one object, with at most 100 findings.",
		Example: "  onelogin-kafka verify acme\n" +
			"  onelogin-kafka verify acme --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z\n" +
			"  onelogin-kafka verify acme --from 72h --json | jq .missing",
		Args: args(cobra.ExactArgs(1)),
	}
	load := configFlag(cmd)
	var (
		asJSON = cmd.Flags().Bool("json", false, "print one JSON object")
		from   = cmd.Flags().String("from", "24h", "where to begin: a `duration` ago or a time (RFC 3339)")
		to     = cmd.Flags().String("to", "", "where to end, likewise (default: where the re-read window begins)")
	)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		wish, err := parseRange(list[0], *from, *to, time.Now())
		if err != nil {
			return usage(err)
		}
		cfg, err := load()
		if err != nil {
			return err
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
	bar := newProgress(notes, w)
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

// progress tells how far a comparison is: on one line that is drawn anew on a
// terminal, else with a plain line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	wish     reconcile.Wish
	began    time.Time

	mu    sync.Mutex
	said  time.Time
	drawn bool
	read  int
	at    schemas.Report
}

const (
	plainEvery = 10 * time.Second
	drawnEvery = 200 * time.Millisecond
)

func newProgress(out io.Writer, w reconcile.Wish) *progress {
	now := time.Now()
	return &progress{out: out, terminal: isTerminal(out), wish: w, began: now, said: now, at: schemas.Report{Through: w.From}}
}

func (p *progress) records(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += n
	p.tell()
}

func (p *progress) report(r schemas.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = r
	p.tell()
}

func (p *progress) trouble(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "onelogin-kafka: %v; trying again\n", err)
}

// tell says it where it is time to.
func (p *progress) tell() {
	every := plainEvery
	if p.terminal {
		every = drawnEvery
	}
	now := time.Now()
	if now.Sub(p.said) < every {
		return
	}
	p.said = now
	text := p.text(now)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) text(now time.Time) string {
	if p.at.Events == 0 && !p.at.Through.After(p.wish.From) {
		return fmt.Sprintf("reading the topic: %d records", p.read)
	}
	took, done := now.Sub(p.began), p.at.Through.Sub(p.wish.From)
	left := time.Duration(float64(took) * float64(p.wish.To.Sub(p.at.Through)) / float64(max(done, 1)))
	return fmt.Sprintf("%3.0f %%  %s  %d events, %d missing, %d altered, %d twice  %.0f/s, %v left",
		100*float64(done)/float64(p.wish.To.Sub(p.wish.From)), p.at.Through.Format(time.RFC3339), p.at.Events, p.at.Missing, p.at.Altered, p.at.Duplicate,
		float64(p.at.Events)/took.Seconds(), left.Round(time.Second))
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
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
	fmt.Fprintf(out, "%s from %s to %s: %d events, %d missing, %d altered, %d twice\n",
		connector, r.From.Format(time.RFC3339), r.Through.Format(time.RFC3339), r.Events, r.Missing, r.Altered, r.Duplicate)
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
