package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"onelogin-kafka/internal/build"
)

func newMan() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "man --dir DIR",
		Short:   "Write the manual pages of all commands into a folder",
		Example: "  onelogin-kafka man --dir /usr/local/share/man/man1 && man onelogin-kafka-status",
		Args:    args(cobra.NoArgs),
	}
	dir := cmd.Flags().String("dir", "", "the folder, which is made if it is missing (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" {
			return usage(fmt.Errorf("man: --dir names the folder"))
		}
		if err := os.MkdirAll(*dir, 0o755); err != nil {
			return fmt.Errorf("making the folder: %w", err)
		}
		// One date for all builds: the pages of a version are the same wherever it is
		// built.
		root := cmd.Root()
		root.DisableAutoGenTag = true
		header := &doc.GenManHeader{Title: "ONELOGIN-KAFKA", Section: "1", Source: "onelogin-kafka " + build.Read().Version, Date: new(time.Unix(0, 0).UTC())}
		if err := doc.GenManTree(root, header, *dir); err != nil {
			return fmt.Errorf("writing manual pages: %w", err)
		}
		return nil
	}
	return cmd
}
