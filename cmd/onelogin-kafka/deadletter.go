package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/deadletter"
	"onelogin-kafka/producer"
)

func newDeadLetter() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletter", Short: "What came among the events and is none", Args: args(cobra.NoArgs), RunE: help,
		Long: "Dead letters are what OneLogin sent among its events and this program could not read as one. The topic keeps\n" +
			"them as they came; what became of each stands on the audit topic.",
	}
	cmd.AddCommand(newDeadLetterList(), newDeadLetterShow(), newDeadLetterReplay(), newDeadLetterDiscard())
	return cmd
}

// letters are the flags that pick dead letters, and the box they are in.
type letters struct {
	load   func() (*config.Config, error)
	all    *bool
	reason *string // why an operator does what he does
}

// picked runs do on the letters that names pick: ids such as 0/12, and names of
// connectors; all if there are none.
func (l *letters) picked(ctx context.Context, names []string, do func(cfg *config.Config, b *deadletter.Box, list []*deadletter.Letter) error) error {
	cfg, err := l.load()
	if err != nil {
		return err
	}
	return operating(ctx, cfg, func(h *producer.Hand) error {
		b := &deadletter.Box{Hand: h, By: who()}
		if l.reason != nil {
			b.Reason = *l.reason
		}
		return l.pick(ctx, cfg, b, names, do)
	})
}

func (l *letters) pick(ctx context.Context, cfg *config.Config, b *deadletter.Box, names []string, do func(cfg *config.Config, b *deadletter.Box, list []*deadletter.Letter) error) error {
	rctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	all, err := b.Read(rctx)
	if err != nil {
		return fmt.Errorf("reading dead letters: %w", err)
	}
	used := map[string]bool{}
	var list []*deadletter.Letter
	for i := range all {
		letter := &all[i]
		by := ""
		switch {
		case slices.Contains(names, letter.ID.String()):
			by = letter.ID.String()
		case letter.ID.Partition == 0 && slices.Contains(names, strconv.FormatInt(letter.ID.Offset, 10)):
			by = strconv.FormatInt(letter.ID.Offset, 10)
		case slices.Contains(names, letter.Connector):
			by = letter.Connector
		case len(names) > 0:
			continue
		}
		used[by] = true
		if letter.State == deadletter.Open || *l.all || by != "" && by != letter.Connector {
			list = append(list, letter)
		}
	}
	for _, name := range names {
		_, err := deadletter.ParseID(name)
		if !used[name] && (err == nil || !configured(cfg, name)) {
			return usage(fmt.Errorf("%s is neither a dead letter that the topic has nor a connector; onelogin-kafka deadletter list --all shows what there is", clean(name)))
		}
	}
	return do(cfg, b, list)
}

func newLetters(cmd *cobra.Command, writes bool) *letters {
	l := &letters{load: configFlag(cmd), all: cmd.Flags().Bool("all", false, "those that were replayed or discarded, too")}
	if writes {
		l.reason = cmd.Flags().String("reason", "", "why, for the audit topic")
	}
	return l
}

func newDeadLetterList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [connector|id…]",
		Short: "Dead letters that nobody has dealt with",
		Long: "List dead letters, oldest first, with what became of each and whether this version can read it now. With --json\n" +
			"one object per letter and line.",
		Example: "  onelogin-kafka deadletter list\n  onelogin-kafka deadletter list acme --all --json",
	}
	l := newLetters(cmd, false)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per letter and line")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return l.picked(cmd.Context(), names, func(_ *config.Config, _ *deadletter.Box, list []*deadletter.Letter) error {
			return listLetters(cmd.OutOrStdout(), list, *asJSON, time.Now())
		})
	}
	return cmd
}

const letterRow = "%-10s  %5s  %-20s  %8s  %-9s  %-8s  %s\n"

func listLetters(out io.Writer, list []*deadletter.Letter, asJSON bool, now time.Time) error {
	if asJSON {
		for _, letter := range list {
			printJSON(out, letter)
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "no dead letters")
		return nil
	}
	fmt.Fprintf(out, letterRow, "ID", "AGE", "CONNECTOR", "BYTES", "STATE", "READABLE", "REASON")
	for _, letter := range list {
		readable := "no"
		if _, reason := letter.Event(); reason == "" {
			readable = "yes"
		}
		fmt.Fprintf(out, letterRow, letter.ID, since(letter.Written, now), clean(letter.Connector), strconv.Itoa(len(letter.Raw)), letter.State, readable, clean(letter.Reason))
	}
	return nil
}

func newDeadLetterShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show id…",
		Short: "A dead letter whole",
		Long: "Show dead letters whole. The bytes are shown as a quoted text in ASCII, so that nothing in them can command a\n" +
			"terminal; with --json as text, or in base64 where they are no UTF-8.",
		Example: "  onelogin-kafka deadletter show 0/12\n  onelogin-kafka deadletter show 0/12 --json | jq -r .value",
		Args:    args(cobra.MinimumNArgs(1)),
	}
	l := newLetters(cmd, false)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per letter and line")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return l.picked(cmd.Context(), names, func(_ *config.Config, _ *deadletter.Box, list []*deadletter.Letter) error {
			out := cmd.OutOrStdout()
			if len(list) == 0 && !*asJSON {
				fmt.Fprintln(out, "no dead letters")
			}
			for _, letter := range list {
				if *asJSON {
					printJSON(out, letter)
					continue
				}
				showLetter(out, letter)
			}
			return nil
		})
	}
	return cmd
}

func showLetter(out io.Writer, letter *deadletter.Letter) {
	ev, reason := letter.Event()
	now := "an event, id " + strconv.FormatInt(ev.ID, 10)
	if reason != "" {
		now = reason
	}
	fmt.Fprintf(out, "id         %s\nwritten    %s\nconnector  %s\nsource     %s\nreason     %s\nnow        %s\nstate      %s\n",
		letter.ID, letter.Written.Format(time.RFC3339Nano), clean(letter.Connector), clean(letter.Source), clean(letter.Reason), clean(now), letter.State)
	if letter.By != "" {
		fmt.Fprintf(out, "by         %s, %s\n", clean(letter.By), letter.At.Format(time.RFC3339))
	}
	fmt.Fprintf(out, "bytes      %s\n", strconv.QuoteToASCII(string(letter.Raw)))
}

func newDeadLetterReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [connector|id…]",
		Short: "Publish what this version can read, once",
		Long: "Publish the events of dead letters that this version can read, each once: what is in the topic already, or was\n" +
			"seen by the connector, is not published again. What still is no event stays where it is; nothing becomes a\n" +
			"dead letter anew. Prints what it would do; --yes does it, in one transaction for each connector.",
		Example: "  onelogin-kafka deadletter replay\n  onelogin-kafka deadletter replay acme --yes --reason \"after the update\"",
	}
	l := newLetters(cmd, true)
	yes := cmd.Flags().Bool("yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return l.picked(cmd.Context(), names, func(cfg *config.Config, b *deadletter.Box, list []*deadletter.Letter) error {
			if !*yes {
				return planReplay(cmd.OutOrStdout(), list)
			}
			return replay(cmd, cfg, b, list)
		})
	}
	return cmd
}

func planReplay(out io.Writer, list []*deadletter.Letter) error {
	readable := 0
	for _, letter := range list {
		ev, reason := letter.Event()
		if reason != "" {
			fmt.Fprintf(out, "%-10s  %-20s  stays: %s\n", letter.ID, clean(letter.Connector), clean(reason))
			continue
		}
		readable++
		fmt.Fprintf(out, "%-10s  %-20s  event %d of %s, published unless it was\n", letter.ID, clean(letter.Connector), ev.ID, ev.CreatedAt.Format(time.RFC3339Nano))
	}
	fmt.Fprintf(out, "%d of %d dead letters can be read now", readable, len(list))
	if readable > 0 {
		fmt.Fprint(out, "; nothing was changed, --yes publishes them")
	}
	fmt.Fprintln(out)
	return nil
}

// replay replays letters connector by connector. Exits with 1 if any of them
// could be read and is not in the topic now.
func replay(cmd *cobra.Command, cfg *config.Config, b *deadletter.Box, list []*deadletter.Letter) error {
	of := map[string][]*deadletter.Letter{}
	for _, letter := range list {
		of[letter.Connector] = append(of[letter.Connector], letter)
	}
	out, failed := cmd.OutOrStdout(), false
	if len(list) == 0 {
		fmt.Fprintln(out, "no dead letters")
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		account := deadletter.Account{Connector: name, Key: cfg.Key, Compact: cfg.Value == config.ValueCompact}
		outcomes, err := b.Replay(cmd.Context(), account, of[name])
		for _, o := range outcomes {
			text := "published"
			switch {
			case o.Known:
				text = "was published before"
			case o.Err != nil:
				text = "stays: " + clean(o.Err.Error())
				failed = failed || !errors.Is(o.Err, deadletter.ErrUnreadable)
			}
			if err == nil {
				fmt.Fprintf(out, "%-10s  %-20s  %s\n", o.Letter.ID, clean(name), text)
			}
		}
		if err != nil {
			failed = true
			fmt.Fprintf(cmd.ErrOrStderr(), "onelogin-kafka: %s: replaying: %s\n", clean(name), clean(err.Error()))
		}
	}
	if failed {
		return &exitError{code: exitFail}
	}
	return nil
}

func newDeadLetterDiscard() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discard [connector|id…]",
		Short: "Note that dead letters are of no use",
		Long: "Note on the audit topic that dead letters are of no use: they are not listed any more. They stay on the topic\n" +
			"for as long as it keeps them, and can be replayed by their id. Prints what it would do; --yes does it.",
		Example: "  onelogin-kafka deadletter discard 0/12 --yes --reason \"a test of OneLogin's\"",
		Args:    args(cobra.MinimumNArgs(1)),
	}
	l := newLetters(cmd, true)
	yes := cmd.Flags().Bool("yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return l.picked(cmd.Context(), names, func(_ *config.Config, b *deadletter.Box, list []*deadletter.Letter) error {
			for _, letter := range list {
				fmt.Fprintf(cmd.OutOrStdout(), "%-10s  %-20s  %s\n", letter.ID, clean(letter.Connector), clean(cmp.Or(letter.Reason, "no reason")))
			}
			if !*yes {
				fmt.Fprintf(cmd.OutOrStdout(), "%d dead letters; nothing was changed, --yes discards them\n", len(list))
				return nil
			}
			if err := b.Discard(cmd.Context(), list); err != nil {
				return fmt.Errorf("discarding: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d dead letters discarded\n", len(list))
			return nil
		})
	}
	return cmd
}
