package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/build"
)

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print version, commit and Go version", Args: args(cobra.NoArgs),
		Example: "  onelogin-kafka version\n  onelogin-kafka version --json",
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := build.Read()
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "onelogin-kafka %s, commit %s, %s\n", b.Version, b.Commit, b.Go)
		return err
	}
	return cmd
}
