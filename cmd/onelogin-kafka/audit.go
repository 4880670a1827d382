package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit [connector…]", Short: "Who changed what, before and after, and why",
		Long:    "Print the changes that were made by command, console or API, oldest first. No secret is among them.",
		Example: "  onelogin-kafka audit acme\n  onelogin-kafka audit --since 24h --json",
	}
	load := configFlag(cmd)
	since := cmd.Flags().Duration("since", 0, "only what is not older; 0 = all that is kept")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per change, as it is on the topic")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withCluster(cmd.Context(), cfg, func(cluster *wire.Cluster) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), controlPatience)
			defer cancel()
			if _, err := cluster.Partitions(ctx, cfg.Topics.Audit.Name); err != nil {
				return fmt.Errorf("looking for topic %s: %w", cfg.Topics.Audit.Name, err)
			}
			log := producer.CommittedLog{Cluster: cluster, Topic: cfg.Topics.Audit.Name}
			return printAudit(ctx, log, cmd.OutOrStdout(), names, *since, *asJSON)
		})
	}
	return cmd
}

func printAudit(ctx context.Context, log producer.CommittedLog, out io.Writer, names []string, since time.Duration, asJSON bool) error {
	from, err := log.Start(ctx)
	if err == nil && since > 0 {
		from, err = log.At(ctx, time.Now().Add(-since))
	}
	if err == nil {
		_, err = log.ReadFrom(ctx, from, func(offset int64, r *schemas.Record) error {
			if len(names) > 0 && !slices.Contains(names, string(r.Key)) {
				return nil
			}
			a, err := schemas.ParseAuditEntry(r.Value)
			switch {
			case err != nil:
				fmt.Fprintf(out, "offset %d: %v\n", offset, err)
			case asJSON:
				printJSON(out, json.RawMessage(r.Value))
			default:
				printEntry(out, a)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", log.Topic, err)
	}
	return nil
}

// printEntry prints one change as a line, and what differs under it.
func printEntry(out io.Writer, a schemas.AuditEntry) {
	fmt.Fprintf(out, "%s  %s  %s  by %s (%s)", a.At.Format(time.RFC3339), clean(a.Action), cmp.Or(clean(a.Connector), "-"), clean(a.By), clean(a.Via))
	if a.Reason != "" {
		fmt.Fprintf(out, ": %s", clean(a.Reason))
	}
	fmt.Fprintln(out)
	for _, line := range differences(a.Before, a.After) {
		fmt.Fprintf(out, "    %s\n", clean(line))
	}
}

// differences are the fields in which two objects differ, but for those that
// differ each time.
func differences(before, after json.RawMessage) (lines []string) {
	var a, b map[string]json.RawMessage
	_ = json.Unmarshal(before, &a) // what is no object has no fields
	_ = json.Unmarshal(after, &b)
	if a == nil || b == nil {
		return nil // made or removed: the action says so
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains([]string{"generation", "updated_at", "updated_by", "version"}, name) || string(a[name]) == string(b[name]) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s -> %s", name, cmp.Or(strings.TrimSpace(string(a[name])), "none"), cmp.Or(strings.TrimSpace(string(b[name])), "none")))
	}
	return lines
}
