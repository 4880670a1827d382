package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "demo",
		Example: "  onelogin-kafka demo\n  onelogin-kafka demo --events 10000",
		Short:   "Show it all in one process: a simulated OneLogin, a broker, the service and a live tail",
		Long: "Show it all in one process: a simulated OneLogin with three tenants, an embedded broker, the\n" +
			"service with its console, and a live tail of the topic. With --events it stops after that many\n" +
			"events, reads the topic and compares it with what OneLogin had. Kill it at any moment and start\n" +
			"it again with the same --data: it goes on where it was.",
		Args: args(cobra.NoArgs),
	}
	d := demo{}
	cmd.Flags().Int64Var(&d.events, "events", 0, "stop after `N` events and prove them; 0 = go on until interrupted")
	cmd.Flags().StringVar(&d.dir, "data", "", "keep everything in this `folder`; without it, it is deleted at the end")
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:0", "`address` of the console")
	cmd.Flags().Float64Var(&d.rate, "rate", 20, "events per second and tenant")
	cmd.Flags().StringVar(&d.level, "log-level", "warn", "trace, debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if d.events < 0 || !(d.rate >= 0 && d.rate <= 10_000) {
			return usage(errors.New("--events must not be negative and --rate is 0 to 10000"))
		}
		d.explicit = cmd.Flags().Changed("events") || cmd.Flags().Changed("rate")
		d.out, d.errs = cmd.OutOrStdout(), cmd.ErrOrStderr()
		return d.run(cmd.Context())
	}
	return cmd
}

// demo is one run of the demo.
type demo struct {
	events             int64
	rate               float64
	explicit           bool // events or rate were asked for
	dir, listen, level string
	out, errs          io.Writer

	onelogin  *demoOneLogin
	suggested console.Draft // of the account that has no connector yet
	config    *config.Config
	tail      *demoTail
}

func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "onelogin-kafka-demo-")
		if err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		defer os.RemoveAll(dir)
		d.dir = dir
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	s, err := openDemoPlan(d.dir, d.events, d.rate, d.explicit)
	if err != nil {
		return err
	}
	if d.onelogin, err = newDemoOneLogin(s); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the simulated OneLogin: %w", err)
	}
	file, err := d.writeConfig("http://" + l.Addr().String())
	if err == nil {
		d.config, err = config.Load(file, os.LookupEnv)
		err = usage(err)
	}
	if err != nil {
		l.Close()
		return err
	}
	return d.serve(ctx, began, l)
}

// writeConfig writes the configuration, so that the other commands can be tried
// on the demo while it runs.
func (d *demo) writeConfig(base string) (string, error) {
	if err := d.writeKey(); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by onelogin-kafka demo at each start.\nkafka: {embedded: broker}\ngroup: demo\ninstance: demo\n")
	fmt.Fprintf(&b, "topics: {events: {partitions: 6}, offsets: {partitions: 6}}\nhttp: {listen: %q}\nlog: {level: %q}\n", d.listen, d.level)
	fmt.Fprintf(&b, "secrets: {keys: [{private_key_file: %s}]}\nconnectors:\n", demoKey)
	tenants := d.onelogin.sim.Tenants()
	for _, t := range tenants[:demoTenants] {
		fmt.Fprintf(&b, "  - {name: %s, domain: %s, client_id: %q, client_secret: %q, base_url: %q, start_from: %s,\n",
			t.Name, t.Domain, t.ClientID, t.ClientSecret, base, d.onelogin.Start.Add(-25*time.Hour).Format(time.RFC3339))
		fmt.Fprintf(&b, "     poll: {min: 500ms, max: 2s}, sweep: {every: 2s, window: 2m}, rate_limit: {share: 1}}\n")
	}
	for _, t := range tenants[demoTenants:] {
		d.suggested = console.Draft{Name: t.Name, Domain: t.Domain, ClientID: t.ClientID, BaseURL: base, Settings: map[string]json.RawMessage{
			"poll": json.RawMessage(`{"min":"500ms","max":"2s"}`), "rate_limit": json.RawMessage(`{"share":1}`),
		}}
		if err := os.WriteFile(d.spareSecret(), []byte(t.ClientSecret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("writing a secret of the demo: %w", err)
		}
	}
	file := filepath.Join(d.dir, "onelogin-kafka.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("writing the demo's configuration: %w", err)
	}
	return file, nil
}

// demoKey is the key that secrets typed into the console are sealed for, in the
// demo's folder.
const demoKey = "sealing-key"

func (d *demo) writeKey() error {
	path := filepath.Join(d.dir, demoKey)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key, err := seal.GenerateKey()
	if err != nil {
		return fmt.Errorf("making the demo's key: %w", err)
	}
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the demo's key: %w", err)
	}
	return nil
}

// spareSecret is the file with the client secret of the account that has no
// connector yet.
func (d *demo) spareSecret() string { return filepath.Join(d.dir, d.suggested.Name+".secret") }

// serve runs everything until ctx ends, or until the events are proven.
func (d *demo) serve(ctx context.Context, began time.Time, l net.Listener) error {
	log := newLog(d.config.Log, d.errs)
	stop, err := startEmbedded(d.config, false, log)
	if err != nil {
		l.Close()
		return err
	}
	defer stop()
	cluster, err := service.Cluster(d.config)
	if err != nil {
		l.Close()
		return err
	}
	defer cluster.Close()
	in, err := newInstance(d.config, d.suggested, log)
	if err != nil {
		l.Close()
		return err
	}
	d.greet(l, in)
	d.tail = newDemoTail(d.out)
	ctx, finish := context.WithCancel(ctx)
	defer finish()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serveHTTP(gctx, l, d.onelogin.sim) })
	g.Go(func() error { return d.tail.run(gctx) })
	g.Go(func() error {
		f := &follower{
			cluster: cluster, topic: d.config.Topics.Events.Name, from: from{earliest: true},
			do: d.tail.record, began: d.tail.began, note: func(text string) { log.Debug().Msg(text) },
		}
		if err := f.run(gctx); gctx.Err() == nil {
			return err
		}
		return nil
	})
	sctx, halt := context.WithCancel(gctx)
	defer halt()
	halted := make(chan struct{})
	g.Go(func() error {
		defer close(halted)
		return in.run(sctx)
	})
	if d.onelogin.Events == 0 {
		return g.Wait()
	}
	var failed error
	g.Go(func() error {
		defer finish()
		if !d.await(gctx, log) {
			failed = errNotProven
			return nil
		}
		halt()
		<-halted
		failed = d.prove(gctx, cluster, began)
		return nil
	})
	return errors.Join(g.Wait(), failed)
}

func (d *demo) greet(l net.Listener, in *instance) {
	fmt.Fprintf(d.out, "OneLogin   http://%s, simulated, %d tenants\n", l.Addr(), demoTenants)
	fmt.Fprintf(d.out, "Kafka      %s, embedded, in %s\n", d.config.Kafka.Brokers[0], d.dir)
	fmt.Fprintf(d.out, "console    %s/\n", in.web.URL())
	if d.suggested.Name != "" {
		fmt.Fprintf(d.out, "to try     New connector, there: %s has none yet; its client secret is in %s\n", d.suggested.Name, d.spareSecret())
	}
	fmt.Fprintf(d.out, "topic      %s; also: onelogin-kafka tail --config %s\n\n", d.config.Topics.Events.Name, filepath.Join(d.dir, "onelogin-kafka.yaml"))
}

// errNotProven ends a demo that was to prove something and was stopped before.
var errNotProven = errors.New("stopped before every event was there: nothing is proven")

// patience is how long the demo waits for events that should be there.
const patience = 60 * time.Second

// await waits until every event exists, is visible, and is in the topic, or
// until it no longer believes in it. false if ctx ended first.
func (d *demo) await(ctx context.Context, log zerolog.Logger) bool {
	if sleep(ctx, time.Until(d.onelogin.end())) != nil {
		return false
	}
	if err := d.onelogin.stop(); err != nil {
		log.Error().Err(err).Msg("the demo is broken")
	}
	if sleep(ctx, time.Until(d.onelogin.sim.SettledAt())) != nil {
		return false
	}
	d.tail.say(fmt.Sprintf("%d events exist and can be seen; waiting for the last of them", d.onelogin.Events))
	last, since := d.tail.events(), time.Now()
	for {
		n := d.tail.events()
		if n >= d.onelogin.Events {
			return true
		}
		if n > last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return true // the proof will tell what is missing
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			return false
		}
	}
}

// prove reads the topic from its start and compares it with the truth.
func (d *demo) prove(ctx context.Context, cluster *wire.Cluster, began time.Time) error {
	found := published{}
	if err := found.read(ctx, cluster, d.config.Topics.Events.Name); err != nil {
		return fmt.Errorf("proving: %w", err)
	}
	v, err := found.judge(d.onelogin.sim)
	if err != nil {
		return fmt.Errorf("proving: %w", err)
	}
	d.tail.say(fmt.Sprintf("\n%s (%.1f s)", v, time.Since(began).Seconds()))
	if !v.clean() {
		return &exitError{code: exitFail}
	}
	return nil
}

// linesPerSecond is what a person can still follow.
const linesPerSecond = 20

// demoTail shows a sample of the events and counts all.
type demoTail struct {
	mu      sync.Mutex
	printer printer
	seen    published
	unique  int64
	before  map[int32]int64 // where each partition ended at the start
	old     int64           // events from before the start
	lines   int             // in this second
	hidden  int64           // not shown in this second
}

func newDemoTail(out io.Writer) *demoTail {
	return &demoTail{printer: printer{out: out}, seen: published{}, before: map[int32]int64{}}
}

func (t *demoTail) began(partition int32, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before[partition] = end
}

func (t *demoTail) record(partition int32, offset int64, r *schemas.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh, err := t.seen.add(r)
	if err != nil {
		return err
	}
	if fresh {
		t.unique++
	}
	switch {
	case offset < t.before[partition]:
		t.old++
		return nil
	case t.lines == linesPerSecond:
		t.hidden++
		return nil
	}
	t.lines++
	return t.printer.print(partition, offset, r)
}

// events is the number of different events seen.
func (t *demoTail) events() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unique
}

// say prints a line after what is known so far.
func (t *demoTail) say(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell()
	fmt.Fprintln(t.printer.out, text)
}

// tell opens a new second and tells what the last one did not show. The caller
// holds the lock.
func (t *demoTail) tell() {
	if t.old > 0 {
		fmt.Fprintf(t.printer.out, "  … %d events were in the topic already\n", t.old)
	}
	if t.hidden > 0 {
		fmt.Fprintf(t.printer.out, "  … and %d more; %d events in the topic\n", t.hidden, t.unique)
	}
	t.lines, t.hidden, t.old = 0, 0, 0
}

// run tells every second until ctx ends.
func (t *demoTail) run(ctx context.Context) error {
	for sleep(ctx, time.Second) == nil {
		t.mu.Lock()
		t.tell()
		t.mu.Unlock()
	}
	return nil
}
