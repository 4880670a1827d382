package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/registry/seal"
)

func newSecrets() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Keys of the sealed client secrets on the control log", Args: args(cobra.NoArgs), RunE: help,
		Long: "Client secrets on the control log are sealed with a public key that lies there too; the private keys of\n" +
			"secrets.keys open them. Every instance needs the same private keys.",
	}
	cmd.AddCommand(newKeygen(), newSeal(), newSecretsCheck(), newRotate())
	return cmd
}

func newKeygen() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keygen file", Short: "Make a private key in a new file that only its owner can read", Args: args(cobra.ExactArgs(1)),
		Long: "Make a private key in a new file that only its owner can read; a file that is there is never replaced. Name it in\n" +
			"secrets.keys of every instance, with active: true, and keep a copy elsewhere: without it the client secrets have\n" +
			"to be entered again.",
		Example: "  onelogin-kafka secrets keygen keys/2026-11",
	}
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		text, err := seal.GenerateKey()
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		key, err := seal.ParsePrivateKey(text)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		if err := writeNew(names[0], text+"\n"); err != nil {
			return err
		}
		if *asJSON {
			printJSON(cmd.OutOrStdout(), map[string]string{"key_id": key.Public().ID(), "file": names[0]})
			return nil
		}
		fmt.Fprintf(cmd.OutOrStdout(), "key %s in %s; name it in the configuration:\nsecrets: {keys: [{private_key_file: %s, active: true}]}\n", key.Public().ID(), clean(names[0]), clean(names[0]))
		return nil
	}
	return cmd
}

// writeNew writes a file that is not there yet, and its folder, for its owner alone.
func writeNew(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a key is never replaced: name another file", clean(path))
	}
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func newSeal() *cobra.Command {
	cmd := &cobra.Command{
		Use: "seal connector", Short: "Seal a client secret from standard input, for a file that connectors import reads", Args: args(cobra.ExactArgs(1)),
		Long: "Seal a client secret from standard input for one connector, domain, base URL and client id, and print what stands\n" +
			"as client_secret in a file that connectors import reads. Nothing is written, and no private key is needed.",
		Example: "  onelogin-kafka secrets seal acme --domain acme --client-id 0123 < secrets/acme",
	}
	load := configFlag(cmd)
	f := cmd.Flags()
	domain, id, base := f.String("domain", "", "OneLogin domain"), f.String("client-id", "", "client id"), f.String("base-url", "", "base URL, if it has one")
	f.Bool("json", true, "it is JSON in any case")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		secret, err := readSecret(cmd.InOrStdin(), "-")
		if err != nil {
			return usage(err)
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			sealed, err := r.Seal(ctx, registry.Draft{Name: names[0], Domain: *domain, ClientID: *id, BaseURL: *base, Secret: secret})
			if err != nil {
				return err
			}
			printJSON(cmd.OutOrStdout(), sealed)
			return nil
		})
	}
	return cmd
}

// sealedCount is how many secrets there are of one key.
type sealedCount struct {
	KeyID   string `json:"key_id"`
	Secrets int    `json:"secrets"`
	Opened  int    `json:"opened"`
	Active  bool   `json:"active"`
	// Held tells that its private key is in secrets.keys here.
	Held bool `json:"held"`
}

func newSecretsCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Open every sealed secret, and show none", Args: args(cobra.NoArgs),
		Long: "Open every sealed secret of the control log with the keys of secrets.keys, and count them by key: what proves that\n" +
			"a copy of a key is whole. A key with no secrets can be dropped. Exits with 1 if one does not open.",
		Example: "  onelogin-kafka secrets check",
	}
	load := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object per key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(_ context.Context, r *registry.Registry) error {
			return checkSecrets(cmd, r, *asJSON)
		})
	}
	return cmd
}

func checkSecrets(cmd *cobra.Command, r *registry.Registry, asJSON bool) error {
	counts := map[string]*sealedCount{}
	of := func(id string) *sealedCount {
		if counts[id] == nil {
			counts[id] = &sealedCount{KeyID: id, Held: r.Ring().Has(id)}
		}
		return counts[id]
	}
	for _, id := range r.Ring().IDs() {
		of(id)
	}
	for _, k := range r.Keys() {
		of(k.ID).Active = k.Active
	}
	failed := r.Broken()
	for _, c := range r.List() {
		n := of(c.Secret.KeyID())
		n.Secrets++
		if _, err := r.Open(c); err != nil {
			failed[c.Name] = err
			continue
		}
		n.Opened++
	}
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		n := counts[id]
		if asJSON {
			printJSON(cmd.OutOrStdout(), n)
			continue
		}
		state := "not here"
		if n.Held {
			state = "here"
		}
		if n.Active {
			state += ", active"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "key %s (%s): %d of %d secrets open\n", cmp.Or(clean(id), "unknown"), state, n.Opened, n.Secrets)
	}
	return tellFailed(cmd, failed)
}

// tellFailed names the connectors whose secret does not open; exit code 1 if
// there is one.
func tellFailed(cmd *cobra.Command, failed map[string]error) error {
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		fmt.Fprintf(cmd.ErrOrStderr(), "connector %s: its client secret %v\n", name, failed[name])
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d secrets do not open", len(failed))
	}
	return nil
}

func newRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Seal every secret anew with the active key", Args: args(cobra.NoArgs),
		Long: "Seal every secret of the control log anew with the active key of secrets.keys; those before open what is there.\n" +
			"First give the new key to every instance beside the old one, and make it active; drop the old one when check\n" +
			"counts no secret of it. It goes on where it was stopped. Where an old key has leaked, replace the credentials\n" +
			"at OneLogin too: copies of the topic can still be opened. Prints what it would do; --yes does it.",
		Example: "  onelogin-kafka secrets rotate\n  onelogin-kafka secrets rotate --yes --reason \"yearly\"",
	}
	load, by := configFlag(cmd), reasonFlag(cmd)
	yes := cmd.Flags().Bool("yes", false, "do it")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return withControl(cmd.Context(), cfg, func(ctx context.Context, r *registry.Registry) error {
			key, ok := r.Ring().Active()
			if !ok {
				return usage(errors.New("secrets rotate: no key of secrets.keys is active; make one active, or one: onelogin-kafka secrets keygen"))
			}
			old := 0
			for _, c := range r.List() {
				if c.Secret.KeyID() != key.ID() {
					old++
				}
			}
			if !*yes {
				fmt.Fprintf(cmd.OutOrStdout(), "%d of %d secrets would be sealed anew for key %s\nnothing was changed; --yes does it\n", old, len(r.List()), key.ID())
				return nil
			}
			n, failed, err := r.Reseal(ctx, by())
			if *asJSON {
				printJSON(cmd.OutOrStdout(), map[string]any{"key_id": key.ID(), "sealed": n, "failed": len(failed)})
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%d of %d secrets sealed anew for key %s\n", n, old, key.ID())
			}
			if err != nil {
				return err
			}
			return tellFailed(cmd, failed)
		})
	}
	return cmd
}
