// Package benchmark measures the service against a simulated OneLogin and a real
// Kafka of three nodes. Whatever is compared runs in one run against the same
// simulator, each party as a process of its own, so that its processor time is
// its own. The figures go to docs/benchmarks.json and docs/benchmarks.md.
package benchmark

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"onelogin-kafka/internal/proof/history"
	"onelogin-kafka/internal/proof/kafkatest"
)

// measurements are what can be measured, in the order of "all".
var measurements = []struct {
	name, does string
	run        func(context.Context, *bench) ([]Result, error)
}{
	{"catchup", "a backlog of one connector, pages of 1,000 and of 50, beside a bare client and an at-least-once poller", catchUp},
	{"transaction", "1,000 events and their offsets in one transaction, beside franz-go's transactional client", transaction},
	{"latency", "100 connectors with an event a second each", latency},
	{"thousand", "1,000 connectors with an event a second each", thousand},
	{"isolation", "100 connectors with an event a second each, alone and beside four bad tenants", isolation},
	{"memory", "a backlog of 1,000,000 events of one connector", memory},
	{"backfill", "a job that publishes a past of 1,000,000 events beside live polls", backfill},
	{"idle", "1, 1,000 and 10,000 idle connectors", idle},
	{"far", "10,000 idle connectors over TLS, a host each, 100 ms away", far},
	{"quota", "pages of 3 MB that nothing compresses, under a quota", quota},
	{"slow", "320 connectors with a backlog, and a Kafka slower than OneLogin", slow},
	{"moves", "positions moved by hand beside live polls: until their shards serve again", moves},
	{"start-log", "starts with 10,000 connectors on the control log, in turn with the same in files", startLog},
	{"start", "what the producer's tests tell: positions of 10,000 connectors read at the start", start10000},
	{"restart", "the same: shards taken over anew after a broker's clean restart", restart},
	{"cutoff", "the same: shards while a broker is cut off from its peers", cutOff},
	{"versions-catchup", "the backlog of catchup, in turn with the version of -last", versionsCatchUp},
	{"versions-transaction", "the transactions of transaction, in turn with those of the version of -last", versionsTransaction},
	{"versions-steady", "100 connectors with an event a second each, in turn with the version of -last", versionsSteady},
	{"spread", "3,000 idle connectors over three instances", spread},
}

// options are the flags. A zero number stands for the measurement's own.
type options struct {
	brokers    string
	record     string
	service    string
	profile    string
	events     int64
	rounds     int
	pages      string
	connectors int
	period     time.Duration
	poll       time.Duration
	last       string
	patience   time.Duration
	command    string
}

// bench is one call of the program.
type bench struct {
	options
	log     io.Writer
	addrs   []string
	kafka   string // what the brokers are
	dir     string
	self    string // this program
	this    build  // the service
	older   *older // nil before something is compared with it
	version string // commit; asked for before results are written into the tree
	started int    // how many services and topics were named
	// settings are further lines of the instances' files, by the name of the run.
	settings map[string]string
}

// Main runs the program: the named measurements, or, as "role …", one of the
// processes that they start.
func Main(ctx context.Context, args []string, in io.Reader, out, log io.Writer) error {
	if len(args) > 0 && args[0] == "role" {
		return runRole(ctx, args[1:], in, out)
	}
	b := &bench{log: log, settings: map[string]string{}}
	b.command = "go run ./internal/proof/benchmark/cmd " + strings.Join(args, " ")
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&b.brokers, "brokers", "", "brokers, by comma; empty: a Kafka of three nodes is started")
	flags.StringVar(&b.record, "record", "", "`folder` whose benchmarks.json and benchmarks.md take the results")
	flags.StringVar(&b.service, "service", "", "service `program`; empty: built from this tree")
	flags.StringVar(&b.profile, "profile", "", "`folder` for processor and memory profiles of the service; it then runs with profiling on")
	flags.Int64Var(&b.events, "events", 0, "events to catch up with")
	flags.IntVar(&b.rounds, "rounds", 0, "rounds of catchup and versions-…, transactions of transaction")
	flags.StringVar(&b.pages, "pages", "1000,50", "page sizes of catchup and versions-catchup")
	flags.IntVar(&b.connectors, "connectors", 0, "number of connectors of latency, thousand, versions-steady, isolation, idle and spread")
	flags.DurationVar(&b.period, "period", 0, "how long latency, thousand, versions-steady, isolation, idle and spread measure")
	flags.DurationVar(&b.poll, "poll", 30*time.Second, "poll interval of idle and spread")
	flags.StringVar(&b.last, "last", history.LastLanded, "`commit` of the version that the versions-… compare with")
	flags.DurationVar(&b.patience, "patience", time.Minute, "how long to wait for a quiet machine; it is measured then, too")
	flags.Usage = func() {
		fmt.Fprintln(log, "usage: benchmark [flags] all | MEASUREMENT …")
		for _, m := range measurements {
			fmt.Fprintf(log, "  %-20s %s\n", m.name, m.does)
		}
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	return b.run(ctx, flags.Args(), out)
}

func (b *bench) run(ctx context.Context, names []string, out io.Writer) (err error) {
	if slices.Equal(names, []string{"all"}) {
		names = nil
		for _, m := range measurements {
			names = append(names, m.name)
		}
	}
	if len(names) == 0 {
		return errors.New("nothing to measure; -h lists what can be")
	}
	for _, name := range names {
		if find(name) == nil {
			return fmt.Errorf("%q cannot be measured; -h lists what can be", name)
		}
	}
	end, err := b.prepare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, name := range names {
		fmt.Fprintf(b.log, "== %s\n", name)
		results, err := find(name)(ctx, b)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", name, err)
		}
		for i := range results {
			b.stamp(&results[i])
			fmt.Fprintln(out, results[i].markdown())
		}
		if b.record != "" {
			if err := record(b.record, results); err != nil {
				return err
			}
		}
	}
	return nil
}

func find(name string) func(context.Context, *bench) ([]Result, error) {
	for _, m := range measurements {
		if m.name == name {
			return m.run
		}
	}
	return nil
}

// prepare builds the service and starts Kafka, where they were not given.
func (b *bench) prepare(ctx context.Context) (end func() error, err error) {
	b.version = commit()
	if b.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	if b.dir, err = os.MkdirTemp("", "onelogin-kafka-benchmark-"); err != nil {
		return nil, fmt.Errorf("making the work folder: %w", err)
	}
	end = func() error { return os.RemoveAll(b.dir) }
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	if b.this.program = b.service; b.this.program == "" {
		b.this.program = filepath.Join(b.dir, "onelogin-kafka")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.this.program, "onelogin-kafka/cmd/onelogin-kafka")
		if text, err := cmd.CombinedOutput(); err != nil {
			return end, fmt.Errorf("building the service: %w\n%s", err, text)
		}
	}
	if b.brokers != "" {
		b.addrs, b.kafka = strings.Split(b.brokers, ","), "given brokers"
		return end, nil
	}
	b.say("starting Kafka")
	cluster, err := kafkatest.New(ctx, kafkatest.Options{})
	if err != nil {
		return end, fmt.Errorf("starting Kafka: %w", err)
	}
	b.addrs, b.kafka = cluster.Brokers(), fmt.Sprintf("Kafka %s, %d nodes", cluster.Version(), len(cluster.Nodes()))
	folder := end
	end = func() error { return errors.Join(cluster.Close(), folder()) }
	return end, nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// name returns a name that no other topic, group or file of this call has.
func (b *bench) name(what string) string {
	b.started++
	return fmt.Sprintf("bench-%d-%s-%d", os.Getpid(), what, b.started)
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
