package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/preflight"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/source/onelogin"
)

// maxFailures is the most that an exit code can count without being taken for
// a signal.
const maxFailures = 125

// failedCode is the exit code for so many failed checks: their number, but that
// two exit as three do. 2 is that of a usage error, and must be nothing else.
func failedCode(failed int) int {
	if failed == exitUsage {
		return exitUsage + 1
	}
	return min(failed, maxFailures)
}

// checksAtOnce bounds the connectors that are checked side by side.
const checksAtOnce = 16

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [connector…]",
		Short: "Try Kafka and each connector before anything runs",
		Long: "Try what the service needs: Kafka reachable, with transactions, topics that fit or can be created,\n" +
			"and the rights; then the Configuration, Authentication, Fetch Logs and Validation of each connector, of\n" +
			"files and of the control log. One whose sealed secret no key of secrets.keys opens is a failed check.\n" +
			"Nothing is created and nobody is disturbed. The exit code is the number of failed checks,\n" +
			"125 at most; two exit with 3, since 2 is a wrong usage or configuration. The last line tells the number.\n" +
			"With --json one object per check and line.",
		Example: "  onelogin-kafka check\n  onelogin-kafka check acme globex\n  onelogin-kafka check --json | jq 'select(.ok | not)'",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per check")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		warn(cmd, cfg)
		p := &checkPrinter{out: cmd.OutOrStdout(), json: *asJSON}
		if err := checkAll(cmd.Context(), cfg, names, p); err != nil {
			return err
		}
		if p.failed > 0 {
			if !p.json {
				fmt.Fprintf(p.out, "%d of %d checks failed\n", p.failed, p.made)
			}
			return &exitError{code: failedCode(p.failed)}
		}
		return nil
	}
	return cmd
}

// pick leaves only the connectors of those names in cfg; all if there are no
// names.
func pick(cfg *config.Config, names []string) error {
	for _, n := range names {
		if !configured(cfg, n) {
			return unknown(n)
		}
	}
	if len(names) > 0 {
		cfg.Connectors = slices.DeleteFunc(cfg.Connectors, func(c config.Connector) bool { return !slices.Contains(names, c.Name) })
		cfg.SetAside = slices.DeleteFunc(cfg.SetAside, func(s config.SetAside) bool { return !slices.Contains(names, s.Name) })
	}
	return nil
}

// checkAll checks Kafka and the connectors of files and of the control log, all or
// those of the names; last those that are set aside.
func checkAll(ctx context.Context, cfg *config.Config, names []string, p *checkPrinter) error {
	stop, err := joinEmbedded(cfg, false)
	if err != nil {
		failure := preflight.Result{Target: "kafka", Check: "reachable", Failure: &preflight.Failure{Message: err.Error(), Advice: "Check kafka.embedded."}}
		if err := pick(cfg, names); err != nil {
			return err
		}
		return checkListed(ctx, cfg, p, func() { p.print(failure) })
	}
	defer stop()
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return usage(err)
	}
	defer cluster.Close()
	var known logged
	if known.unread = reach(ctx, cluster); known.unread == nil {
		if l, err := withLogged(ctx, cfg, cluster); err == nil {
			known = l
		} else {
			known.unread = err
		}
	}
	if err := pick(cfg, names); err != nil {
		return known.explain(err)
	}
	return checkListed(ctx, cfg, p, func() {
		k := &preflight.Kafka{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group}
		for _, r := range k.Check(ctx) {
			p.print(r)
		}
	})
}

// checkListed checks the connectors of cfg, while kafka prints what is to be said
// before them.
func checkListed(ctx context.Context, cfg *config.Config, p *checkPrinter, kafka func()) error {
	results := checkConnectors(ctx, cfg)
	kafka()
	for _, r := range results {
		p.print(<-r)
	}
	for _, s := range cfg.SetAside {
		p.print(preflight.Result{Target: cmp.Or(s.Name, filepath.Base(s.Problems[0].File)), Failure: preflight.FailureOf(ctx, service.ErrorOf(s))})
	}
	return ctx.Err()
}

// checkConnectors checks some at a time; each result comes on its own channel.
func checkConnectors(ctx context.Context, cfg *config.Config) []<-chan preflight.Result {
	transport := service.Transport(cfg, onelogin.Limits{})
	transport.DisableKeepAlives = true
	edges := onelogin.NewEdges(zerolog.Nop())
	slots := make(chan struct{}, checksAtOnce)
	results := make([]<-chan preflight.Result, len(cfg.Connectors))
	for i, c := range cfg.Connectors {
		result := make(chan preflight.Result, 1)
		results[i] = result
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			client, err := onelogin.New(service.Account(c),
				onelogin.Options{HTTP: transport, Log: zerolog.Nop(), UserAgent: build.UserAgent(), Edges: edges})
			if err != nil {
				result <- preflight.Result{Target: c.Name, Failure: preflight.FailureOf(ctx, err)}
				return
			}
			result <- preflight.Connector(ctx, c.Name, client)
		}()
	}
	return results
}

// checkPrinter prints results and counts those that failed.
type checkPrinter struct {
	out    io.Writer
	json   bool
	made   int
	failed int
}

func (p *checkPrinter) print(r preflight.Result) {
	p.made++
	if r.Failure != nil {
		p.failed++
	}
	if p.json {
		p.object(r)
		return
	}
	name := r.Target
	if r.Check != "" {
		name += " " + r.Check
	}
	took := r.Took.Round(time.Millisecond)
	switch {
	case r.Failure != nil:
		fmt.Fprintf(p.out, "FAILED  %-20s  %s\n", name, r.Failure)
	case r.Check == "":
		fmt.Fprintf(p.out, "ok      %-20s  Connection successful (%v)\n", name, took)
	default:
		fmt.Fprintf(p.out, "ok      %-20s  %s (%v)\n", name, r.Detail, took)
	}
}

func (p *checkPrinter) object(r preflight.Result) {
	o := struct {
		Target  string  `json:"target"`
		Check   string  `json:"check,omitempty"`
		OK      bool    `json:"ok"`
		Seconds float64 `json:"seconds"`
		Detail  string  `json:"detail,omitempty"`
		Stage   string  `json:"stage,omitempty"`
		Message string  `json:"message,omitempty"`
		Cause   string  `json:"cause,omitempty"`
		Advice  string  `json:"advice,omitempty"`
		Request string  `json:"request_id,omitempty"`
	}{Target: r.Target, Check: r.Check, OK: r.Failure == nil, Seconds: r.Took.Seconds(), Detail: r.Detail}
	if f := r.Failure; f != nil {
		o.Stage, o.Message, o.Cause, o.Advice, o.Request = f.Stage, f.Message, f.Cause, f.Advice, f.RequestID
	} else if r.Check == "" {
		o.Message = "Connection successful"
	}
	printJSON(p.out, o)
}
