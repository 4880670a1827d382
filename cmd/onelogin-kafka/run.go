package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/memory"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/producer/wire"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run",
		Example: "  onelogin-kafka run\n  onelogin-kafka run --config /etc/onelogin-kafka.yaml --strict",
		Short:   "Run the service",
		Long: "Run the service. A connector that is wrong in its own file, its secret or its name is set aside:\n" +
			"it is FAILING with the reason and tried again, and the others run. What is wrong in the main file\n" +
			"ends it with exit code 2.",
		Args: args(cobra.NoArgs),
	}
	load := configFlag(cmd)
	strict := cmd.Flags().Bool("strict", false, "set no connector aside: refuse the configuration if any of them is wrong")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if *strict && len(cfg.SetAside) > 0 {
			return usage(cfg.Problems())
		}
		log := newLog(cfg.Log, cmd.ErrOrStderr())
		service.Warn(log, nil, cfg)
		asRead := *cfg // the embedded broker's address goes into cfg, and is no change of the file
		from := service.Origin{Path: configPath(cmd), Lookup: os.LookupEnv, Strict: *strict}
		err = runService(cmd.Context(), cfg, log, follow(from, &asRead))
		if err != nil && !forPeople(cfg.Log, cmd.ErrOrStderr()) {
			// Whoever reads the log finds the reason in its form.
			log.Error().Err(err).Msg("ended")
			return &exitError{code: codeOf(err)}
		}
		return err
	}
	return cmd
}

// follow has a service take over changes of its configuration, at once on
// SIGHUP.
func follow(from service.Origin, cfg *config.Config) func(context.Context, *service.Service) {
	// A SIGHUP that comes before all is running must not end the process.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return func(ctx context.Context, svc *service.Service) {
		defer signal.Stop(signals)
		ask := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for {
				select {
				case <-signals:
				case <-ctx.Done():
					return
				}
				select {
				case ask <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		})
		svc.Follow(ctx, cfg, from, ask)
	}
}

// newLog writes to w: for people on a terminal, JSON elsewhere.
func newLog(c config.Log, w io.Writer) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	if forPeople(c, w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// forPeople tells whether the log is to be read as it is.
func forPeople(c config.Log, w io.Writer) bool {
	return c.Format == "console" || c.Format == "auto" && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// runService runs one instance, its console and the embedded broker, if there
// is to be one, until ctx ends, and beside it what is given.
func runService(ctx context.Context, cfg *config.Config, log zerolog.Logger, beside ...func(context.Context, *service.Service)) error {
	stop, err := startEmbedded(cfg, true, log)
	if err != nil {
		return err
	}
	defer stop()
	in, err := newInstance(cfg, console.Draft{}, log)
	if err != nil {
		return err
	}
	log.Info().Str("version", build.Read().Version).Str("commit", build.Read().Commit).Str("instance", cfg.Instance).Int("connectors", len(cfg.Connectors)).Int("set_aside", len(cfg.SetAside)).
		Str("http", in.web.Addr().String()).Msg("starting")
	err = in.run(ctx, beside...)
	if err == nil {
		log.Info().Msg("stopped")
	}
	return err
}

// startEmbedded starts the embedded broker, where the configuration asks for
// one, and points the configuration at it.
func startEmbedded(cfg *config.Config, sync bool, log zerolog.Logger) (stop func(), err error) {
	if cfg.Kafka.Embedded == "" {
		return func() {}, nil
	}
	broker, err := embedded.Start(embedded.Options{Dir: cfg.Kafka.Embedded, Sync: sync, Log: log})
	if err != nil {
		return nil, err
	}
	cfg.Kafka.Brokers = broker.Addrs()
	log.Info().Str("broker", broker.Addrs()[0]).Str("dir", cfg.Kafka.Embedded).Msg("the embedded broker is for development: one copy, never compacted")
	return broker.Close, nil
}

// instance is the service with its console.
type instance struct {
	svc     *service.Service
	web     *console.Server
	board   *console.Board
	trail   *console.Trail
	desk    *console.Desk
	reading *wire.Cluster // of what the console shows
	address string        // where the console is reached; empty = not known
}

func newInstance(cfg *config.Config, suggested console.Draft, log zerolog.Logger) (*instance, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	plan := memory.NewPlan(int64(cfg.Memory), os.DirFS("/"))
	in := &instance{}
	svc, err := service.New(cfg, service.Options{
		Log: log, Registry: reg, Files: files(), Memory: plan, Counted: bound(plan, cfg.Memory != 0),
		Console: func() string { return in.address }, // which is known before it runs
	})
	if err != nil {
		return nil, usage(err)
	}
	in.svc = svc
	if err := in.openConsole(cfg, reg, suggested, log); err != nil {
		return nil, err
	}
	return in, nil
}

// bound has Go's runtime keep to a plan. What an operator has told it counts
// unless the configuration says another thing.
func bound(plan memory.Plan, configured bool) func(connectors int) {
	return func(connectors int) {
		if _, set := os.LookupEnv("GOMEMLIMIT"); !set || configured {
			debug.SetMemoryLimit(plan.GoLimit(connectors))
		}
	}
}

// run serves until ctx ends.
func (in *instance) run(ctx context.Context, beside ...func(context.Context, *service.Service)) error {
	defer in.reading.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.web.Serve(ctx) })
	g.Go(func() error { in.board.Run(ctx); return nil })
	g.Go(func() error { in.trail.Run(ctx); return nil })
	g.Go(func() error { in.desk.Run(ctx); return nil })
	if _, set := os.LookupEnv("GOGC"); !set {
		g.Go(func() error { memory.Collect(ctx); return nil })
	}
	g.Go(func() error {
		if err := in.svc.Run(ctx); err != nil {
			return fmt.Errorf("running the service: %w", err)
		}
		return nil
	})
	for _, do := range beside {
		g.Go(func() error { do(ctx, in.svc); return nil })
	}
	err := g.Wait()
	if errors.Is(err, producer.ErrUnfit) {
		return usage(err)
	}
	return err
}

// awaitEmbedded finds the broker of another process that runs on the folder the
// configuration names, if it names one.
func awaitEmbedded(ctx context.Context, cfg *config.Config, note func(string)) error {
	for said := false; cfg.Kafka.Embedded != "" && len(cfg.Kafka.Brokers) == 0; {
		if addrs, ok := embedded.Running(cfg.Kafka.Embedded); ok {
			cfg.Kafka.Brokers = addrs
			break
		}
		if !said {
			note("no broker runs on " + cfg.Kafka.Embedded + " yet; waiting for onelogin-kafka run to start it")
			said = true
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}
