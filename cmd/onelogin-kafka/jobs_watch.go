package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// asking are the flags of a command that asks for a job.
type asking struct {
	cmd            *cobra.Command
	by             func() registry.Who
	cancel, detach *bool
	json           *bool
}

func newAsking(cmd *cobra.Command, asJSON *bool) *asking {
	return &asking{
		cmd: cmd, by: reasonFlag(cmd), json: asJSON,
		cancel: cmd.Flags().Bool("cancel", false, "cancel the connector's jobs of this kind that have not ended"),
		detach: cmd.Flags().Bool("detach", false, "ask for the job and do not wait for its end"),
	}
}

// run asks for a job and watches it.
func (a *asking) run(b *board, w jobs.Wish) error {
	j, err := b.Ask(a.cmd.Context(), w, a.by())
	if err != nil {
		return err
	}
	if *a.detach {
		if *a.json {
			printJSON(a.cmd.OutOrStdout(), j)
			return nil
		}
		fmt.Fprintf(a.cmd.OutOrStdout(), "job %s is asked for; %s\n", j.ID, handling(j.ID))
		return nil
	}
	fmt.Fprintf(a.cmd.ErrOrStderr(), "job %s is asked for\n", j.ID)
	return b.follow(a.cmd, j.ID, *a.json)
}

// handling says what can be done with a job.
func handling(id string) string {
	return fmt.Sprintf("watch it: onelogin-kafka jobs show %s --watch; end it: onelogin-kafka jobs cancel %s", id, id)
}

const (
	// lookEvery is how often a job is looked at.
	lookEvery = time.Second
	// idle is after how long without progress it is asked who serves the connector.
	idle = 10 * time.Second
)

// follow watches a job until it has ended, prints it then, and returns the exit code
// that it stands for.
func (b *board) follow(cmd *cobra.Command, id string, asJSON bool) error {
	ctx := cmd.Context()
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	var seen time.Time // when the job got on, by its own word
	moved, said := time.Now(), ""
	for {
		j, err := b.look(ctx, id)
		switch {
		case ctx.Err() != nil:
			bar.note(fmt.Sprintf("job %s goes on; %s", id, handling(id)))
			return &exitError{code: exitFail}
		case errors.Is(err, jobs.ErrNotFound):
			return err
		case err != nil:
			bar.trouble(err)
		case j.State.Ended():
			bar.end()
			return printJob(cmd.OutOrStdout(), &j, asJSON)
		case j.Progress != nil:
			if j.Progress.UpdatedAt.After(seen) {
				seen, moved, said = j.Progress.UpdatedAt, time.Now(), ""
			}
			bar.report(j.Progress.Report)
		}
		if err == nil && time.Since(moved) > idle {
			if text := b.held(ctx, &j); text != said && text != "" {
				bar.note(text)
				said = text
			}
			moved = time.Now()
		}
		_ = sleep(ctx, lookEvery) // its end is seen above
	}
}

// look reads how a job is now.
func (b *board) look(ctx context.Context, id string) (jobs.Job, error) {
	if err := b.refresh(ctx); err != nil {
		return jobs.Job{}, err
	}
	return b.Get(ctx, id)
}

// held says what keeps a job from getting on, as far as the connector's status tells;
// empty for nothing.
func (b *board) held(ctx context.Context, j *jobs.Job) string {
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	view := fleet.NewView(j.Connector)
	topic := fleet.Topic{Cluster: b.cluster, Name: b.cfg.Topics.Status.Name}
	if _, err := topic.Read(ctx, view); err != nil {
		return "" // said where the job is looked at
	}
	st, _ := view.Get(j.Connector, time.Now())
	switch st.State {
	case schemas.StateInactive, "":
		return fmt.Sprintf("nobody serves connector %s: the job waits for an instance that does", j.Connector)
	case schemas.StatePaused:
		return fmt.Sprintf("connector %s is paused: the job waits until it is resumed", j.Connector)
	case schemas.StateFailing:
		return fmt.Sprintf("connector %s is FAILING: the job goes on when it is well: %s", j.Connector, clean(st.Message))
	case schemas.StateThrottled:
		return fmt.Sprintf("connector %s is THROTTLED: the job goes on with what its polls leave", j.Connector)
	case schemas.StateActive, schemas.StateCatchingUp:
	}
	return ""
}
