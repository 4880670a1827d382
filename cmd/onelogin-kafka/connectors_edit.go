package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// fields are the flags of a connector's fields.
type fields struct {
	domain, clientID, baseURL, secretFile, startFrom *string
	settings                                         *[]string
	test                                             *bool
}

func fieldFlags(cmd *cobra.Command) *fields {
	f := cmd.Flags()
	return &fields{
		domain:     f.String("domain", "", "OneLogin domain, e.g. acme or acme.onelogin.com"),
		clientID:   f.String("client-id", "", "client id of an API credential with Read All"),
		baseURL:    f.String("base-url", "", "instead of https://<domain>: tests and proxies only"),
		secretFile: f.String("client-secret-file", "", "`file` with the client secret; - reads it from standard input"),
		startFrom:  f.String("start-from", "", "where a connector without a position begins: 24h, now, or a time"),
		settings:   f.StringArray("set", nil, "any other `field=value` of a connector's file, the value as YAML; without a value it is taken away"),
		test:       f.Bool("test", false, "Test Connection first: what fails it is not saved"),
	}
}

// apply puts the flags that were given into d.
func (f *fields) apply(cmd *cobra.Command, d *registry.Draft) error {
	for name, target := range map[string]*string{"domain": &d.Domain, "client-id": &d.ClientID, "base-url": &d.BaseURL} {
		if cmd.Flags().Changed(name) {
			*target, _ = cmd.Flags().GetString(name) // the flag is there
		}
	}
	if *f.secretFile != "" {
		secret, err := readSecret(cmd.InOrStdin(), *f.secretFile)
		if err != nil {
			return usage(err)
		}
		d.Secret = secret
	}
	settings := map[string]json.RawMessage{}
	maps.Copy(settings, d.Settings)
	sets := *f.settings
	if *f.startFrom != "" {
		sets = append(sets, "start_from="+*f.startFrom)
	}
	for _, set := range sets {
		name, text, ok := strings.Cut(set, "=")
		if !ok || name == "" {
			return usage(errors.New("--set wants field=value, e.g. --set 'poll={min: 5s}'"))
		}
		if err := setField(d, settings, name, text); err != nil {
			return usage(fmt.Errorf("--set %s: %w", clean(name), err))
		}
	}
	d.Settings = settings
	return nil
}

// setField sets a field that has no flag. One that has is refused: a record has it
// elsewhere, and what is among its settings would count for nothing.
func setField(d *registry.Draft, settings map[string]json.RawMessage, name, text string) error {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return errors.New("the value is no YAML")
	}
	switch paused, isBool := value.(bool); name {
	case "domain", "client_id", "base_url":
		return fmt.Errorf("it has a flag of its own: --%s", strings.ReplaceAll(name, "_", "-"))
	case "name", "type":
		return errors.New("it is not to be chosen")
	case "paused":
		if value != nil && !isBool {
			return errors.New("the value is neither true nor false")
		}
		d.Paused = paused
		return nil
	}
	if value == nil {
		delete(settings, name)
		return nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return errors.New("the value cannot be written as JSON")
	}
	settings[name] = raw
	return nil
}

// readSecret reads a secret from a file or, for -, from in, without the line
// break at its end. The error holds nothing of it.
func readSecret(in io.Reader, path string) (string, error) {
	if path != "-" {
		return config.NewSecretFile(path).Reveal()
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return "", fmt.Errorf("reading the client secret from standard input: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", errors.New("standard input has no client secret")
	}
	return secret, nil
}

func newConnectorsAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add connector", Short: "Put a new connector on the control log; every instance takes it over at once", Args: args(cobra.ExactArgs(1)),
		Long: "Put a new connector on the control log. Its client secret is read from a file or standard input, never from the\n" +
			"command line, and sealed with the active key: no private key is needed for that. --test tries the connection\n" +
			"with what was given, as check does, and saves nothing if that fails.",
		Example: "  onelogin-kafka connectors add acme --domain acme --client-id 0123 --client-secret-file secrets/acme --test\n" +
			"  vault read -field=s kv/acme | onelogin-kafka connectors add acme --domain acme --client-id 01 --client-secret-file -",
	}
	load, by, f := configFlag(cmd), reasonFlag(cmd), fieldFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the connector as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		d := registry.Draft{Name: names[0]}
		if err := f.apply(cmd, &d); err != nil {
			return err
		}
		if d.Secret == "" {
			return usage(errors.New("connectors add: --client-secret-file is missing; it names the file with the client secret, or - for standard input"))
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			if configured(cfg, d.Name) {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: a file has a connector %s too, and is used as long as it is there\n", d.Name)
			}
			if *f.test {
				if err := testDraft(ctx, cmd, cfg, r, d); err != nil {
					return err
				}
			}
			return save(ctx, cmd, r, d, 0, by(), *asJSON)
		})
	}
	return cmd
}

func newConnectorsEdit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit connector", Short: "Change a connector of the control log", Args: args(cobra.ExactArgs(1)),
		Long: "Change what is given, and nothing else. A client secret that is saved opens for the same domain, base URL and\n" +
			"client id only: with another of these it has to be given again.",
		Example: "  onelogin-kafka connectors edit acme --client-secret-file secrets/acme --test\n" +
			"  onelogin-kafka connectors edit acme --set 'poll={min: 5s, max: 60s}' --reason \"shares its budget\"",
	}
	load, by, f := configFlag(cmd), reasonFlag(cmd), fieldFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the connector as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			c, err := r.Get(names[0])
			if err != nil {
				return ofFile(err, cfg, names[0], "edit it there")
			}
			d := registry.DraftOf(c)
			if err := f.apply(cmd, &d); err != nil {
				return err
			}
			if *f.test {
				if err := testDraft(ctx, cmd, cfg, r, d); err != nil {
					return err
				}
			}
			return save(ctx, cmd, r, d, c.Generation, by(), *asJSON)
		})
	}
	return cmd
}

// save puts a draft.
func save(ctx context.Context, cmd *cobra.Command, r *registry.Registry, d registry.Draft, generation int64, by registry.Who, asJSON bool) error {
	c, err := r.Put(ctx, d, generation, by)
	if err != nil {
		return err
	}
	done(cmd, c, "saved", asJSON)
	return nil
}

// testDraft runs the stages of check on a draft. A secret that is not given is
// the one that is saved, if a key here opens it.
func testDraft(ctx context.Context, cmd *cobra.Command, cfg *config.Config, r *registry.Registry, d registry.Draft) error {
	d, err := r.Check(d)
	if err != nil {
		return err
	}
	open := func() (string, error) { return d.Secret, nil }
	if d.Secret == "" {
		saved, err := r.Get(d.Name)
		if err != nil {
			return err
		}
		open = func() (string, error) { return r.Open(saved) }
	}
	cc, problems := config.Recorded(schemas.Connector{
		Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Settings: d.Settings,
	}, d.Name, open)
	if len(problems) > 0 {
		return problems
	}
	cc.Proxy = cc.Proxy.Or(cfg.Proxy)
	alone := *cfg
	alone.Connectors = []config.Connector{cc}
	results := checkConnectors(ctx, &alone)
	p := &checkPrinter{out: cmd.ErrOrStderr()}
	result := <-results[0]
	p.print(result)
	if result.Failure != nil {
		return fmt.Errorf("the connection test of connector %s failed, and nothing was saved", d.Name)
	}
	return nil
}

// exported is a connector in the shape that export writes and import reads. It
// is a record of the log, without its secret unless that is asked for.
func exported(c schemas.Connector, sealed bool) json.RawMessage {
	if sealed {
		return c.Marshal()
	}
	return c.Shown()
}

func newConnectorsExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [connector…]", Short: "Print connectors of the control log as JSON Lines",
		Long: "Print connectors of the control log, one JSON object per line, in the shape that import reads. Without --sealed\n" +
			"their secrets are left out; with it they are there as they lie: closed, for this deployment's keys and topic.",
		Example: "  onelogin-kafka connectors export --sealed > connectors.jsonl",
	}
	load := configFlag(cmd)
	sealed := cmd.Flags().Bool("sealed", false, "with the sealed secrets")
	cmd.Flags().Bool("json", true, "it is JSON Lines in any case")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(_ context.Context, r *registry.Registry) error {
			list := r.List()
			if len(names) > 0 {
				list = nil
				for _, name := range names {
					c, err := r.Get(name)
					if err != nil {
						return err
					}
					list = append(list, c)
				}
			}
			for _, c := range list {
				printJSON(cmd.OutOrStdout(), exported(c, *sealed))
			}
			return nil
		})
	}
	return cmd
}

func newConnectorsImport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import file", Short: "Put connectors on the control log: what export wrote, or a folder of connector files", Args: args(cobra.ExactArgs(1)),
		Long: "Put connectors on the control log: the JSON Lines that export wrote (- reads standard input), or a folder of\n" +
			"connector files, whose secrets are read and sealed. Prints what it would do; --yes does it. What is there\n" +
			"already is changed; what is not in the file stays. Take the files out of connectors_dir afterwards: of one\n" +
			"name in both, the file's is used.",
		Example: "  onelogin-kafka connectors import connectors.jsonl\n  onelogin-kafka connectors import connectors.d --yes --reason \"files moved to the log\"",
	}
	load, by := configFlag(cmd), reasonFlag(cmd)
	yes := cmd.Flags().Bool("yes", false, "do it")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per connector that was put")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		drafts, err := readDrafts(cmd.InOrStdin(), names[0], filepath.Dir(configPath(cmd)))
		if err != nil {
			return usage(err)
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			return importAll(ctx, cmd, r, drafts, by(), *yes, *asJSON)
		})
	}
	return cmd
}

func importAll(ctx context.Context, cmd *cobra.Command, r *registry.Registry, drafts []registry.Draft, by registry.Who, yes, asJSON bool) error {
	note := cmd.ErrOrStderr()
	changes := make([]registry.Change, 0, len(drafts))
	for _, d := range drafts {
		ch, what := registry.Change{Draft: d}, "new"
		c, err := r.Get(d.Name)
		switch {
		case err == nil:
			ch.Generation, what = c.Generation, fmt.Sprintf("changed, generation %d", c.Generation)
		case !errors.Is(err, registry.ErrNotFound):
			return err
		}
		if _, err := r.Check(d); err != nil {
			return err
		}
		fmt.Fprintf(note, "connector %s: %s\n", d.Name, what)
		changes = append(changes, ch)
	}
	if !yes {
		fmt.Fprintln(note, "nothing was changed; --yes does it")
		return nil
	}
	put, err := r.PutAll(ctx, changes, by)
	for _, c := range put {
		if asJSON {
			printJSON(cmd.OutOrStdout(), json.RawMessage(c.Shown()))
		}
	}
	fmt.Fprintf(note, "%d of %d connectors saved\n", len(put), len(changes))
	return err
}

// readDrafts reads a folder of connector files, whose paths are relative to base,
// or JSON Lines.
func readDrafts(in io.Reader, path, base string) ([]registry.Draft, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return draftsOfFolder(path, base)
	}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading connectors: %w", err)
		}
		defer f.Close()
		in = f
	}
	var all []registry.Draft
	for dec := json.NewDecoder(in); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading connectors: object %d is no JSON", len(all)+1)
		}
		d, err := draftOf(raw)
		if err != nil {
			return nil, fmt.Errorf("reading connectors: object %d: %w", len(all)+1, err)
		}
		all = append(all, d)
	}
}

// draftOf reads an exported connector, with its sealed secret or without.
func draftOf(raw json.RawMessage) (registry.Draft, error) {
	c, err := schemas.ParseConnector(raw)
	if err == nil {
		d := registry.DraftOf(c)
		d.Sealed = &c.Secret
		return d, nil
	}
	var shown map[string]json.RawMessage
	if json.Unmarshal(raw, &shown) != nil || shown == nil {
		return registry.Draft{}, err
	}
	// What is shown in place of a secret cannot be stored: the one that is there
	// stays.
	shown["client_secret"] = json.RawMessage(`{"sealed":"ok1.-.-","generation":1,"sealed_at":"2026-01-01T00:00:00Z"}`)
	whole, merr := json.Marshal(shown)
	if merr != nil {
		return registry.Draft{}, err
	}
	if c, err = schemas.ParseConnector(whole); err != nil {
		return registry.Draft{}, err
	}
	return registry.DraftOf(c), nil
}

// draftsOfFolder reads connector files as run would, secrets included.
func draftsOfFolder(dir, base string) ([]registry.Draft, error) {
	list, err := config.LoadFolder(dir, base, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	all := make([]registry.Draft, 0, len(list))
	for i := range list {
		c := &list[i]
		secret, err := c.ClientSecret.Reveal()
		if err != nil {
			return nil, fmt.Errorf("connector %s: %w", c.Name, err)
		}
		all = append(all, registry.Draft{
			Name: c.Name, Type: c.Type, Domain: c.Domain, ClientID: c.ClientID, BaseURL: c.BaseURL, Secret: secret, Paused: c.Paused, Settings: c.Settings,
		})
	}
	return all, nil
}
