package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func newOffsets() *cobra.Command {
	cmd := &cobra.Command{
		Use: "offsets", Short: "Positions and the offsets topic by hand", Args: args(cobra.NoArgs), RunE: help,
		Long: "Positions of connectors, and the topic they are on. What changes something prints what it would do;\n" +
			"--yes does it, in one transaction, without stopping anything: the instance that polls the connector goes\n" +
			"on from its new position by itself.",
	}
	cmd.AddCommand(newOffsetsList(), newOffsetsShow(), newOffsetsSet(), newOffsetsReset(), newOffsetsExport(), newOffsetsImport(), newTakeOver(), newCopy())
	return cmd
}

// byHand runs do with a hand on the configured offsets topic.
func byHand(ctx context.Context, cfg *config.Config, do func(*producer.Hand) error) error {
	err := withCluster(ctx, cfg, func(cluster *wire.Cluster) error {
		return do(&producer.Hand{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group})
	})
	if errors.Is(err, producer.ErrUnfit) {
		return usage(err)
	}
	return err
}

// operating is byHand for what concerns connectors: those of the control log are
// known, too.
func operating(ctx context.Context, cfg *config.Config, do func(*producer.Hand) error) error {
	return byHand(ctx, cfg, func(h *producer.Hand) error {
		known, err := withLogged(ctx, cfg, h.Cluster)
		if err != nil {
			return err
		}
		return known.explain(do(h))
	})
}

func newTakeOver() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "take-over",
		Example: "  onelogin-kafka offsets take-over\n  onelogin-kafka offsets take-over --yes",
		Short:   "Make the offsets topic this configuration's, though it belongs to another group",
		Long: "An offsets topic belongs to one deployment, by the name of its `group`; another is refused, since both\n" +
			"would publish every event. This hands it over: stop the other deployment first. One that is still at\n" +
			"work cannot commit any more, and ends. Prints what it would do; --yes does it.",
		Args: args(cobra.NoArgs),
	}
	load := configFlag(cmd)
	yes := cmd.Flags().Bool("yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return byHand(cmd.Context(), cfg, func(h *producer.Hand) error {
			return takeOver(cmd.Context(), h, *yes, cmd.OutOrStdout())
		})
	}
	return cmd
}

func takeOver(ctx context.Context, h *producer.Hand, yes bool, out io.Writer) error {
	topic := h.Topics.Specs[schemas.Offsets].Name
	owners, err := h.Owners(ctx)
	if err != nil {
		return fmt.Errorf("looking whose topic %s is: %w", topic, err)
	}
	groups := map[string]int{}
	for _, o := range owners {
		if o != nil && o.Group != h.Group {
			groups[o.Group]++
		}
	}
	if len(groups) == 0 {
		fmt.Fprintf(out, "topic %s belongs to no other group than %s; nothing to do\n", topic, h.Group)
		return nil
	}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(out, "%d of %d partitions of topic %s: from group %s to group %s\n", groups[g], len(owners), topic, g, h.Group)
	}
	if !yes {
		fmt.Fprintln(out, "nothing was changed; --yes does it")
		return nil
	}
	if err := h.TakeOver(ctx, owners); err != nil {
		return fmt.Errorf("taking topic %s over: %w", topic, err)
	}
	fmt.Fprintln(out, "done")
	return nil
}

func newCopy() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "copy --to TOPIC",
		Example: "  onelogin-kafka offsets copy --to onelogin.offsets-2 --partitions 64\n  onelogin-kafka offsets copy --to onelogin.offsets-2 --partitions 64 --yes",
		Short:   "Copy all positions to another offsets topic, with another number of partitions",
		Long: "A connector's name and the number of partitions decide where its position is, so an offsets topic must\n" +
			"never grow. This copies every position to where it belongs in a topic that is made for it: the way to\n" +
			"another number of partitions, and back from a topic that has grown. Stop every instance first, and name\n" +
			"the new topic in topics.offsets afterwards. Prints what it would do; --yes does it.",
		Args: args(cobra.NoArgs),
	}
	load := configFlag(cmd)
	to := cmd.Flags().String("to", "", "the topic to copy to (required)")
	partitions := cmd.Flags().Int32("partitions", 0, "its number of partitions (topics.offsets.partitions)")
	yes := cmd.Flags().Bool("yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *to == "" || *partitions < 0 {
			return usage(errors.New("offsets copy: --to names the new topic, --partitions is 1 or more"))
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		spec := producer.TopicSpec{Name: *to, Partitions: *partitions}
		if spec.Partitions == 0 {
			spec.Partitions = int32(cfg.Topics.Offsets.Partitions)
		}
		return byHand(cmd.Context(), cfg, func(h *producer.Hand) error {
			return copyOffsets(cmd.Context(), h, spec, *yes, cmd.OutOrStdout())
		})
	}
	return cmd
}

func copyOffsets(ctx context.Context, h *producer.Hand, to producer.TopicSpec, yes bool, out io.Writer) error {
	from := h.Topics.Specs[schemas.Offsets].Name
	if !yes {
		n, err := h.Cluster.Partitions(ctx, from)
		if err != nil {
			return fmt.Errorf("looking at topic %s: %w", from, err)
		}
		fmt.Fprintf(out, "would copy the positions from topic %s (%d partitions) to topic %s (%d partitions)\n", from, n, to.Name, to.Partitions)
		fmt.Fprintln(out, "nothing was changed; stop every instance, then --yes does it")
		return nil
	}
	copied, err := h.CopyOffsets(ctx, to)
	if err != nil {
		return fmt.Errorf("copying topic %s to %s: %w", from, to.Name, err)
	}
	fmt.Fprintf(out, "copied the positions of %d connectors\n", copied.Connectors)
	if len(copied.Twice) > 0 {
		fmt.Fprintf(out, "%d of them had two positions, of which the later one was taken: %s\n", len(copied.Twice), strings.Join(copied.Twice, ", "))
	}
	fmt.Fprintf(out, "now set topics.offsets to {name: %s, partitions: %d} on every instance, and start them\n", to.Name, to.Partitions)
	return nil
}
