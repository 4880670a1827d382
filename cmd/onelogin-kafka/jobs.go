package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func newJobs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "jobs", Short: "What was asked of the fleet: verify, repair and backfill", Args: args(cobra.NoArgs), RunE: help,
		Long: "A job compares a connector's events with the topic, and may publish what is missing. It is asked for by verify\n" +
			"--repair, by backfill or in the console; whoever polls the connector works on it, one job at a time, and who\n" +
			"takes over goes on with it. Jobs that have ended are kept for 30 days, at most 100 of each connector.",
	}
	cmd.AddCommand(newJobsList(), newJobsShow(), newJobsCancel())
	return cmd
}

// board is the jobs as a command sees them.
type board struct {
	*jobs.Board
	cfg     *config.Config
	cluster *wire.Cluster
	known   logged
}

// withBoard runs do on the jobs. The control log was read to its end.
func withBoard(ctx context.Context, cfg *config.Config, do func(*board) error) error {
	err := withCluster(ctx, cfg, func(cluster *wire.Cluster) error {
		known, err := withLogged(ctx, cfg, cluster)
		if err != nil {
			return err
		}
		topics := service.Topics(cfg)
		b := &board{cfg: cfg, cluster: cluster, known: known, Board: &jobs.Board{
			Registry: registry.New(registry.Options{Cluster: cluster, Topics: topics, Group: cfg.Group, Log: zerolog.Nop()}),
			Hand:     &producer.Hand{Cluster: cluster, Topics: topics, Group: cfg.Group},
		}}
		if err := b.refresh(ctx); err != nil {
			return err
		}
		return do(b)
	})
	if errors.Is(err, producer.ErrUnfit) {
		return usage(err)
	}
	if errors.Is(err, wire.ErrUnknownTopic) {
		return fmt.Errorf("%w: start an instance with topics.create, or create the topics as onelogin-kafka check says", err)
	}
	return err
}

// refresh reads what is new on the control log.
func (b *board) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	topic := b.cfg.Topics.Connectors.Name
	if _, err := b.cluster.Partitions(ctx, topic); err != nil {
		return fmt.Errorf("looking for topic %s: %w", topic, err)
	}
	return b.Registry.Read(ctx)
}

// must says whether a connector is known.
func (b *board) must(name string) error {
	if !configured(b.cfg, name) {
		return b.known.explain(unknown(name))
	}
	return nil
}

func newJobsList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [connector…]", Short: "List jobs, the newest first", Args: args(cobra.ArbitraryArgs),
		Long:    "List the jobs of some connectors, or of all, the newest first. With --json one object per job and line.",
		Example: "  onelogin-kafka jobs list\n  onelogin-kafka jobs list acme --json",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per job and line")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withBoard(cmd.Context(), cfg, func(b *board) error {
			for _, name := range names {
				if asked, _ := b.Registry.Jobs(name); len(asked) == 0 {
					if err := b.must(name); err != nil {
						return err
					}
				}
			}
			list, err := b.List(cmd.Context(), names...)
			if err != nil {
				return err
			}
			printJobs(cmd.OutOrStdout(), list, *asJSON)
			return nil
		})
	}
	return cmd
}

func printJobs(out io.Writer, list []jobs.Job, asJSON bool) {
	if asJSON {
		for i := range list {
			printJSON(out, list[i])
		}
		return
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "no jobs")
		return
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCONNECTOR\tKIND\tSTATE\tDONE\tEVENTS\tMISSING\tPUBLISHED\tASKED BY")
	for i := range list {
		j := &list[i]
		var r schemas.Report
		if j.Progress != nil {
			r = j.Progress.Report
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.0f %%\t%d\t%d\t%d\t%s\n",
			j.ID, j.Connector, j.Request.Kind, j.State, 100*j.Share(), r.Events, r.Missing, r.Repaired, clean(j.Request.AskedBy))
	}
	w.Flush()
	for i := range list {
		j := &list[i]
		switch {
		case j.Err != nil:
			fmt.Fprintf(out, "%s: %s\n", j.ID, clean(j.Err.Error()))
		case !j.State.Ended() && j.Progress != nil && j.Progress.Message != "":
			fmt.Fprintf(out, "%s: %s\n", j.ID, clean(j.Progress.Message))
		}
	}
}

func newJobsShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show id", Short: "Show how far a job is and what it has found", Args: args(cobra.ExactArgs(1)),
		Long: "Show a job. --watch goes on until it has ended; Ctrl-C ends the watching, and not the job.\n" +
			"Exits with 1 if the job has ended and left anything missing, altered or twice, has failed or was cancelled, and\n" +
			"after Ctrl-C. With --json one object.",
		Example: "  onelogin-kafka jobs show 20261122-070511-k3x9a --watch",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	watch := cmd.Flags().Bool("watch", false, "go on until the job has ended")
	cmd.ValidArgsFunction = completeJobs
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withBoard(cmd.Context(), cfg, func(b *board) error {
			if *watch {
				return b.follow(cmd, ids[0], *asJSON)
			}
			j, err := b.Get(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			held := ""
			if !*asJSON && !j.State.Ended() {
				held = b.held(cmd.Context(), &j)
			}
			err = printJob(cmd.OutOrStdout(), &j, *asJSON)
			if held != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "  %s\n", held)
			}
			return err
		})
	}
	return cmd
}

// printJob prints a job, and returns the exit code that it stands for.
func printJob(out io.Writer, j *jobs.Job, asJSON bool) error {
	if asJSON {
		printJSON(out, j)
	} else {
		r := &j.Request
		fmt.Fprintf(out, "job %s of connector %s: %s, %s\n", j.ID, j.Connector, r.Kind, j.State)
		if j.Err == nil {
			fmt.Fprintf(out, "  asked for by %s at %s%s\n", clean(r.AskedBy), r.AskedAt.Format(time.RFC3339), because(r.Reason))
		}
		if r.Cancelled() {
			fmt.Fprintf(out, "  cancelled by %s at %s\n", clean(r.CancelledBy), r.CancelledAt.Format(time.RFC3339))
		}
		if j.Err != nil {
			fmt.Fprintf(out, "  %s\n", clean(j.Err.Error()))
		}
		if p := j.Progress; p != nil {
			if p.Message != "" {
				fmt.Fprintf(out, "  %s\n", clean(p.Message))
			}
			fmt.Fprintf(out, "  %.0f %% of %s to %s, by instance %s\n", 100*j.Share(), p.Report.From.Format(time.RFC3339), p.Report.To.Format(time.RFC3339), clean(p.Instance))
			printReport(out, false, j.Connector, &p.Report, nil)
		}
	}
	if j.State.Ended() && !j.Whole() {
		return &exitError{code: exitFail}
	}
	return nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + clean(reason)
}

func newJobsCancel() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel id", Short: "Have a job end; what it has published stays", Args: args(cobra.ExactArgs(1)),
		Long: "Have a job end. What it has published stays, and is in the topic once. A job that has ended already is an error;\n" +
			"one that was cancelled before is not.",
		Example: "  onelogin-kafka jobs cancel 20261122-070511-k3x9a --reason \"wrong month\"",
	}
	load, by := configFlag(cmd), reasonFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the job as one JSON object")
	cmd.ValidArgsFunction = completeJobs
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withBoard(cmd.Context(), cfg, func(b *board) error {
			j, err := b.Cancel(cmd.Context(), ids[0], by())
			if err != nil {
				return err
			}
			cancelled(cmd.OutOrStdout(), &j, *asJSON)
			return nil
		})
	}
	return cmd
}

func cancelled(out io.Writer, j *jobs.Job, asJSON bool) {
	if asJSON {
		printJSON(out, j)
		return
	}
	fmt.Fprintf(out, "job %s of connector %s is cancelled\n", j.ID, j.Connector)
}

// cancelOpen cancels a connector's jobs of some kinds that have not ended.
func (b *board) cancelOpen(cmd *cobra.Command, connector string, who registry.Who, asJSON bool, kinds ...schemas.JobKind) error {
	list, err := b.List(cmd.Context(), connector)
	if err != nil {
		return err
	}
	none := true
	for _, j := range list {
		if j.State.Ended() || !slices.Contains(kinds, j.Request.Kind) {
			continue
		}
		if j, err = b.Cancel(cmd.Context(), j.ID, who); err != nil {
			return err
		}
		cancelled(cmd.OutOrStdout(), &j, asJSON)
		none = false
	}
	if none {
		return fmt.Errorf("connector %s has no such job that has not ended; onelogin-kafka jobs list shows all", clean(connector))
	}
	return nil
}

// completeJobs completes the ids of jobs, where Kafka answers at once.
func completeJobs(cmd *cobra.Command, given []string, begun string) (ids []string, _ cobra.ShellCompDirective) {
	cfg, err := config.Load(configPath(cmd), os.LookupEnv)
	if len(given) > 0 || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if cfg.Kafka.Embedded != "" {
		if _, running := embedded.Running(cfg.Kafka.Embedded); !running {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), glancePatience)
	defer cancel()
	_ = withBoard(ctx, cfg, func(b *board) error { // a shell has no use for the reason
		for _, j := range slices.Backward(b.Registry.AllJobs()) {
			if strings.HasPrefix(j.ID, begun) {
				ids = append(ids, fmt.Sprintf("%s\t%s %s", j.ID, j.Connector, j.Request.Kind))
			}
		}
		return nil
	})
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
