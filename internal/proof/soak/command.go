package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Said is what a command of the binary came to.
type Said struct {
	Code      int
	Out, Errs string
}

func (s *Said) String() string { return fmt.Sprintf("exit code %d\n%s%s", s.Code, s.Out, s.Errs) }

// command runs a command of the binary with an instance's configuration, which was written when that started.
func (w *World) command(ctx context.Context, instance string, args ...string) (*Said, error) {
	cmd := exec.CommandContext(ctx, w.binary, append(args, "--config", w.path(instance+".yaml"))...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && (!ended || ctx.Err() != nil) {
		return nil, fmt.Errorf("running %v: %w", args, errors.Join(context.Cause(ctx), err))
	}
	return &Said{cmd.ProcessState.ExitCode(), out.String(), errs.String()}, nil
}

// found is what a comparison says with --json.
type found struct {
	Events    int64 `json:"events"`
	Missing   int64 `json:"missing"`
	Repaired  int64 `json:"repaired"`
	Altered   int64 `json:"altered"`
	Duplicate int64 `json:"duplicate"`
	Unshown   int64 `json:"unshown"`
	Findings  []struct {
		Kind   string `json:"kind"`
		ID     int64  `json:"id"`
		Events int64  `json:"events"`
	} `json:"findings"`
}

// job is a job as it is told with --json.
type job struct {
	Connector string `json:"connector"`
	State     string `json:"state"`
	Progress  found  `json:"progress"`
}

// jobs are all jobs.
func (w *World) jobs(ctx context.Context, instance string) ([]job, error) {
	said, err := w.command(ctx, instance, "jobs", "list", "--json")
	if err != nil {
		return nil, err
	}
	if said.Code != 0 {
		return nil, fmt.Errorf("jobs list: %s", said)
	}
	var list []job
	for line := range strings.Lines(said.Out) {
		var j job
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			return nil, fmt.Errorf("reading a job: %w", err)
		}
		list = append(list, j)
	}
	return list, nil
}
