// Command onelogin-kafka streams the audit events of OneLogin accounts into a
// Kafka topic, each exactly once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// exitError carries an exit code; its text, if any, is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

func run(args []string, stdout, stderr io.Writer) int {
	// net/http writes into the standard logger, e.g. what a server sends without
	// having been asked, which may be a token.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return runContext(ctx, args, stdout, stderr)
}

// runContext runs one command until it ends or ctx does.
func runContext(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return execute(ctx, newRoot(), args, stdout, stderr)
}

// execute is runContext with the root of all commands.
func execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.err != nil {
		fmt.Fprintln(stderr, "onelogin-kafka:", err)
	}
	return codeOf(err)
}

// codeOf is the exit code of an error.
func codeOf(err error) int {
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	return exitFail
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "onelogin-kafka",
		Short:         "OneLogin audit events into Kafka, each exactly once",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          args(cobra.NoArgs),
		RunE:          help,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(newDemo(), newRun(), newCheck(), newStatus(), newHealth(), newConnectors(), newSecrets(), newAudit(), newOffsets(), newDeadLetter(), newTail(), newVerify(), newBackfill(), newJobs(), newSimulate(), newConfig(), newSchemas(), newVersion(), newMan())
	completions(root)
	return root
}

// help is what a command does that needs another after it.
func help(cmd *cobra.Command, _ []string) error {
	_ = cmd.Help()
	return &exitError{code: exitUsage}
}

// args makes a wrong number of arguments a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error { return usage(check(cmd, list)) }
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
