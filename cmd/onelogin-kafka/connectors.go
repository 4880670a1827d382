package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
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
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func newConnectors() *cobra.Command {
	cmd := &cobra.Command{
		Use: "connectors", Short: "Connectors as data, on the control log", Args: args(cobra.NoArgs), RunE: help,
		Long: "Connectors can be written in files, or lie on a topic of Kafka, where these commands, the console and the API\n" +
			"change them and every instance takes them over at once. Client secrets lie there sealed. Of one name in a\n" +
			"file and on the topic the file's is used.",
	}
	cmd.AddCommand(newConnectorsList(), newConnectorsShow(), newConnectorsAdd(), newConnectorsEdit(), newConnectorsPause(true), newConnectorsPause(false),
		newConnectorsRemove(), newConnectorsImport(), newConnectorsExport())
	return cmd
}

// controlPatience bounds what a command asks of the control log, in all.
const controlPatience = 2 * time.Minute

// withControl runs do on the control log, read to its end.
func withControl(ctx context.Context, cfg *config.Config, do func(context.Context, *registry.Registry) error) error {
	ring, err := cfg.Secrets.Ring()
	if err != nil {
		return usage(err)
	}
	err = withCluster(ctx, cfg, func(cluster *wire.Cluster) error {
		ctx, cancel := context.WithTimeout(ctx, controlPatience)
		defer cancel()
		if _, err := cluster.Partitions(ctx, cfg.Topics.Connectors.Name); err != nil {
			return fmt.Errorf("looking for topic %s: %w", cfg.Topics.Connectors.Name, err)
		}
		r := registry.New(registry.Options{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group, Ring: ring, Log: zerolog.Nop()})
		if err := r.Read(ctx); err != nil {
			return err
		}
		return do(ctx, r)
	})
	if _, bad := errors.AsType[config.Problems](err); bad || errors.Is(err, producer.ErrUnfit) {
		return usage(err)
	}
	if errors.Is(err, wire.ErrUnknownTopic) {
		return fmt.Errorf("%w: start an instance with topics.create, or create topics %s and %s as onelogin-kafka check says", err, cfg.Topics.Connectors.Name, cfg.Topics.Audit.Name)
	}
	return err
}

// reasonFlag adds --reason, which the audit topic keeps.
func reasonFlag(cmd *cobra.Command) func() registry.Who {
	reason := cmd.Flags().String("reason", "", "why, for the audit topic")
	return func() registry.Who { return registry.Who{By: who(), Via: "command", Reason: *reason} }
}

// connectorRow is a connector as list prints it.
type connectorRow struct {
	Name    string `json:"name"`
	Domain  string `json:"domain"`
	Where   string `json:"where"` // "file" or "log"
	State   string `json:"state"` // ok, paused, set aside, shadowed
	Problem string `json:"problem,omitempty"`
	By      string `json:"updated_by,omitempty"`
	// Generation is that of the log; 0 for a file.
	Generation int64     `json:"generation,omitempty"`
	At         time.Time `json:"updated_at,omitzero"`
}

func newConnectorsList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the connectors of the files and of the control log", Args: args(cobra.NoArgs),
		Example: "  onelogin-kafka connectors list\n  onelogin-kafka connectors list --json",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per connector")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(_ context.Context, r *registry.Registry) error {
			printListed(cmd.OutOrStdout(), listOf(cfg, r), *asJSON)
			return nil
		})
	}
	return cmd
}

// listOf joins the connectors of files and of the log.
func listOf(cfg *config.Config, r *registry.Registry) []connectorRow {
	var all []connectorRow
	files := map[string]bool{}
	add := func(c config.Connector) {
		l := connectorRow{Name: c.Name, Domain: c.Domain, Where: "file", State: "ok"}
		if c.Paused {
			l.State = "paused"
		}
		files[c.Name] = true
		all = append(all, l)
	}
	for _, c := range cfg.Connectors {
		add(c)
	}
	for _, s := range cfg.SetAside {
		files[s.Name] = true
		all = append(all, connectorRow{Name: s.Name, Where: "file", State: "set aside", Problem: s.Reason()})
	}
	problems := map[string]string{}
	if r.Ring() != nil && len(r.Ring().IDs()) > 0 { // else nothing can be told of the secrets
		_, aside := r.Configured()
		for _, s := range aside {
			problems[s.Name] = s.Reason()
		}
	}
	for name, err := range r.Broken() {
		all = append(all, connectorRow{Name: name, Where: "log", State: "set aside", Problem: err.Error()})
	}
	for _, c := range r.List() {
		l := connectorRow{Name: c.Name, Domain: c.Domain, Where: "log", State: "ok", Problem: problems[c.Name], By: c.UpdatedBy, Generation: c.Generation, At: c.UpdatedAt}
		switch {
		case files[c.Name]:
			l.State, l.Problem = "shadowed", "a file has a connector of this name, which is used"
		case l.Problem != "":
			l.State = "set aside"
		case c.Paused:
			l.State = "paused"
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b connectorRow) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Where, b.Where)) })
	return all
}

func printListed(out io.Writer, all []connectorRow, asJSON bool) {
	if asJSON {
		for _, l := range all {
			printJSON(out, l)
		}
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tWHERE\tSTATE\tDOMAIN\tGENERATION\tBY")
	for _, l := range all {
		generation := ""
		if l.Generation > 0 {
			generation = fmt.Sprint(l.Generation)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(l.Name), l.Where, l.State, clean(l.Domain), generation, clean(l.By))
		if l.Problem != "" {
			fmt.Fprintf(w, "  %s\n", clean(l.Problem))
		}
	}
	_ = w.Flush() // fails only when the reader has gone
}

func newConnectorsShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show connector", Short: "Show a connector of the control log, without its secret", Args: args(cobra.ExactArgs(1)),
		Example: "  onelogin-kafka connectors show acme",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(_ context.Context, r *registry.Registry) error {
			c, err := r.Get(names[0])
			if errors.Is(err, registry.ErrNotFound) && configured(cfg, names[0]) {
				return fmt.Errorf("%w: it is in a file; config check shows what is wrong with it", err)
			}
			if err != nil {
				return err
			}
			return printShown(cmd.OutOrStdout(), c, *asJSON)
		})
	}
	return cmd
}

func printShown(out io.Writer, c schemas.Connector, asJSON bool) error {
	if asJSON {
		printJSON(out, json.RawMessage(c.Shown()))
		return nil
	}
	var all map[string]any
	if err := json.Unmarshal(c.Shown(), &all); err != nil {
		return fmt.Errorf("showing connector %s: %w", c.Name, err)
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return fmt.Errorf("showing connector %s: %w", c.Name, err)
	}
	_, _ = out.Write(text) // fails only when the reader has gone
	return nil
}

// newConnectorsPause is pause or resume.
func newConnectorsPause(pause bool) *cobra.Command {
	name, short := "resume", "Have a paused connector go on from its position"
	if pause {
		name, short = "pause", "Stop polling a connector; its position stays"
	}
	cmd := &cobra.Command{
		Use: name + " connector", Short: short, Args: args(cobra.ExactArgs(1)),
		Example: "  onelogin-kafka connectors " + name + " acme --reason \"maintenance at OneLogin\"",
	}
	load, by := configFlag(cmd), reasonFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the connector as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			c, err := r.Get(names[0])
			if err != nil {
				return ofFile(err, cfg, names[0], "set paused there")
			}
			if c.Paused != pause {
				if c, err = r.Pause(ctx, c.Name, pause, c.Generation, by()); err != nil {
					return err
				}
			}
			done(cmd, c, name+"d", *asJSON)
			return nil
		})
	}
	return cmd
}

// ofFile says of a connector that is not on the log that it is in a file, if it
// is.
func ofFile(err error, cfg *config.Config, name, advice string) error {
	if errors.Is(err, registry.ErrNotFound) && configured(cfg, name) {
		return fmt.Errorf("%w: it is in a file; %s", err, advice)
	}
	return err
}

// done prints what became of a connector.
func done(cmd *cobra.Command, c schemas.Connector, what string, asJSON bool) {
	if asJSON {
		printJSON(cmd.OutOrStdout(), json.RawMessage(c.Shown()))
		return
	}
	fmt.Fprintf(cmd.OutOrStdout(), "connector %s %s, generation %d\n", c.Name, what, c.Generation)
}

func newConnectorsRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove connector", Short: "Take a connector off the control log", Args: args(cobra.ExactArgs(1)),
		Long: "Take a connector off the control log, or say that one is meant to be gone whose file was removed: its status\n" +
			"goes, and nothing is left to alert on. Its position stays, so that one of the same name goes on from there;\n" +
			"--forget takes it back too. Prints what it would do; --yes does it. On a terminal it asks what is to become\n" +
			"of the position.",
		Example: "  onelogin-kafka connectors remove acme\n  onelogin-kafka connectors remove acme --forget --yes --reason \"contract ended\"",
	}
	load, by := configFlag(cmd), reasonFlag(cmd)
	forget := cmd.Flags().Bool("forget", false, "forget its position too: put back, it begins at start_from and publishes again")
	keep := cmd.Flags().Bool("keep", false, "keep its position (what is done without --forget), and ask nothing")
	yes := cmd.Flags().Bool("yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if *forget && *keep {
			return usage(errors.New("connectors remove: --forget and --keep are both given; keep one"))
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		if !*forget && !*keep && *yes && isTerminalIn(cmd.InOrStdin()) {
			*forget = ask(cmd, "Forget its position too? It stays for one of the same name otherwise")
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			return remove(ctx, cmd.OutOrStdout(), cfg, r, names[0], removal{forget: *forget, yes: *yes, who: by()})
		})
	}
	return cmd
}

type removal struct {
	forget, yes bool
	who         registry.Who
}

func remove(ctx context.Context, out io.Writer, cfg *config.Config, r *registry.Registry, name string, how removal) error {
	c, err := r.Get(name)
	gone := errors.Is(err, registry.ErrNotFound)
	switch {
	case gone && configured(cfg, name):
		return ofFile(err, cfg, name, "remove it there first")
	case err != nil && !gone:
		return err
	case gone && !how.forget:
		if left, lerr := r.Left(ctx, name); lerr != nil || !left {
			return cmp.Or(lerr, err) // there never was one
		}
	}
	if how.forget && configured(cfg, name) {
		return fmt.Errorf("connector %s is in a file too, which goes on from its position; remove it there before its position is forgotten", name)
	}
	if !gone {
		fmt.Fprintf(out, "connector %s (%s, generation %d, by %s): taken off the control log\n", name, c.Domain, c.Generation, clean(c.UpdatedBy))
	}
	if how.forget {
		fmt.Fprintf(out, "connector %s: its position, its known ids and its status are forgotten; its events stay in the topic\n", name)
	} else {
		fmt.Fprintf(out, "connector %s: its position stays; --forget takes it back too\n", name)
	}
	if !how.yes {
		fmt.Fprintln(out, "nothing was changed; --yes does it")
		return nil
	}
	if !gone {
		if err := r.Remove(ctx, name, c.Generation, how.who); err != nil {
			return err
		}
	}
	if gone && !how.forget {
		found, rerr := r.Retire(ctx, name, how.who)
		switch {
		case rerr != nil:
			return rerr
		case !found:
			return err // there never was one
		}
	}
	if how.forget {
		n, err := r.Forget(ctx, name, how.who)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d records of its position are gone\n", n)
	}
	fmt.Fprintln(out, "done")
	return nil
}

// isTerminalIn tells whether somebody can be asked.
func isTerminalIn(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// ask asks a question that y answers with yes.
func ask(cmd *cobra.Command, question string) bool {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer is no
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
}
