// Command auditor judges the topics of a running or finished service: by what
// they say of themselves, and by the truth of a simulated source. It exits 0
// when no rule is broken, 1 when one is or nothing was there to judge, 2 when
// it could not judge.
//
//	go run ./internal/proof/audit/auditor -brokers localhost:9092 -sim http://127.0.0.1:8081 -wait 1m
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"onelogin-kafka/internal/proof/audit"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := o.run(ctx, os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "auditor:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// options are what is judged, and how.
type options struct {
	brokers  []string
	topics   audit.Topics
	rules    audit.Rules
	sim      string
	wait     time.Duration
	follow   bool
	interval time.Duration
	grace    time.Duration
	patience time.Duration
}

func parse(args []string, errors io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("auditor", flag.ContinueOnError)
	f.SetOutput(errors)
	brokers := f.String("brokers", "localhost:9092", "brokers, by comma")
	others := f.String("others", "", "further topics, by comma, read for secrets only")
	canaries := f.String("canaries", "", "file of secrets that must be nowhere, one per line")
	from := f.String("from", "", "when collection began (RFC 3339): earlier events need not be there")
	f.StringVar(&o.topics.Events, "events", "onelogin.events", "topic")
	f.StringVar(&o.topics.Offsets, "offsets", "onelogin.offsets", "topic")
	f.StringVar(&o.topics.DeadLetter, "deadletter", "onelogin.deadletter", "topic; empty: not read")
	f.StringVar(&o.rules.Key, "key", "tenant", "key strategy: tenant, user or event")
	f.DurationVar(&o.rules.MaxLateness, "max-lateness", 0, "events that appear later than this need not be there; 0: all must")
	f.StringVar(&o.sim, "sim", "", "base URL of the simulator that has the truth; empty: judge the topics alone")
	f.DurationVar(&o.wait, "wait", 0, "judge again until nothing is missing, at most so long")
	f.BoolVar(&o.follow, "follow", false, "judge all the time until interrupted, and measure latency")
	f.DurationVar(&o.interval, "interval", 2*time.Second, "time between two judgements with -wait and -follow")
	f.DurationVar(&o.grace, "grace", 0, "events visible for a shorter time need not be there yet")
	f.DurationVar(&o.patience, "patience", time.Minute, "how long to wait for an open transaction or a broker")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	usage := func(err error) (*options, error) {
		fmt.Fprintln(errors, "auditor:", err)
		return nil, err
	}
	if f.NArg() > 0 {
		return usage(fmt.Errorf("unexpected argument %q", f.Arg(0)))
	}
	switch o.rules.Key {
	case "tenant", "user", "event":
	default:
		return usage(fmt.Errorf("-key is %q, want tenant, user or event", o.rules.Key))
	}
	o.brokers = strings.Split(*brokers, ",")
	if *others != "" {
		o.topics.Others = strings.Split(*others, ",")
	}
	if *from != "" {
		at, err := time.Parse(time.RFC3339, *from)
		if err != nil {
			return usage(fmt.Errorf("-from is %q, want RFC 3339", *from))
		}
		o.rules.From = at
	}
	if *canaries != "" {
		text, err := os.ReadFile(*canaries)
		if err != nil {
			return usage(fmt.Errorf("reading the canaries: %w", err))
		}
		o.rules.Canaries = strings.Fields(string(text))
	}
	return &o, nil
}
