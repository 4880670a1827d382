package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
)

const defaultConfig = "onelogin-kafka.yaml"

// configFlag adds --config to a command and returns what loads it.
func configFlag(cmd *cobra.Command) func() (*config.Config, error) {
	cmd.Flags().String("config", defaultConfig, "configuration `file`")
	return func() (*config.Config, error) {
		path := configPath(cmd)
		cfg, err := config.Load(path, os.LookupEnv)
		if path != "" {
			return cfg, usage(err)
		}
		misspelt := config.Misspelt(os.Environ())
		if err == nil {
			cfg.Warnings = append(cfg.Warnings, misspelt...)
			return cfg, nil
		}
		if problems, ok := errors.AsType[config.Problems](err); ok {
			err = append(problems, misspelt...)
		}
		return nil, usage(fmt.Errorf("there is no %s here, so the environment was read; name a file with --config:\n%w", defaultConfig, err))
	}
}

// configPath is the file that a command with configFlag reads; empty where there
// is none, so that all comes from the environment.
func configPath(cmd *cobra.Command) string {
	path, _ := cmd.Flags().GetString("config") // configFlag has defined it
	if !cmd.Flags().Changed("config") {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	return path
}

func newConfig() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Work with the configuration", Args: args(cobra.NoArgs), RunE: help}
	check := &cobra.Command{
		Use:     "check",
		Example: "  onelogin-kafka config check\n  onelogin-kafka config check --config /etc/onelogin-kafka.yaml --json",
		Short:   "Validate the configuration offline; every problem at once",
		Long: "Validate the configuration file, the connectors' files and the secrets that they name; every problem at once.\n" +
			"It connects to nothing: of Kafka, of OneLogin and of the connectors of the control log it sees nothing, which\n" +
			"onelogin-kafka check tries.",
		Args: args(cobra.NoArgs),
	}
	load := configFlag(check)
	asJSON := check.Flags().Bool("json", false, "print one JSON object per problem and per warning, and one when there is no problem")
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err == nil && len(cfg.SetAside) > 0 {
			err = usage(cfg.Problems())
		}
		if problems, ok := errors.AsType[config.Problems](err); ok && *asJSON {
			for _, p := range problems {
				printJSON(cmd.OutOrStdout(), problem{File: p.File, Line: p.Line, Path: p.Path, Message: p.Message})
			}
			return &exitError{code: exitUsage}
		}
		if err != nil {
			return err
		}
		if *asJSON {
			for _, p := range cfg.Warnings {
				printJSON(cmd.OutOrStdout(), problem{Warning: true, File: p.File, Line: p.Line, Path: p.Path, Message: p.Message})
			}
			printJSON(cmd.OutOrStdout(), problem{OK: true, Connectors: len(cfg.Connectors)})
			return nil
		}
		warn(cmd, cfg)
		fmt.Fprintf(cmd.OutOrStdout(), "configuration is valid: %d connectors\n", len(cfg.Connectors))
		fmt.Fprintln(cmd.OutOrStdout(), "what is in Kafka was not looked at, nor at OneLogin: onelogin-kafka check tries both, the connectors of the control log too")
		return nil
	}
	cmd.AddCommand(check)
	return cmd
}

// warn prints what is not wrong in a configuration and yet hardly meant.
func warn(cmd *cobra.Command, cfg *config.Config) {
	for _, p := range cfg.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "onelogin-kafka: warning:", p)
	}
}

// problem is a line that config check --json prints. OK is true in the one that
// tells that there is no problem.
type problem struct {
	OK         bool   `json:"ok"`
	Warning    bool   `json:"warning,omitempty"`
	Connectors int    `json:"connectors,omitempty"`
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Path       string `json:"path,omitempty"`
	Message    string `json:"message,omitempty"`
}

// printJSON prints v on a line of its own.
func printJSON(out io.Writer, v any) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // fails only when the reader has gone
}

// configured tells whether a connector is in the configuration, be it set aside.
func configured(cfg *config.Config, name string) bool {
	return slices.ContainsFunc(cfg.Connectors, func(c config.Connector) bool { return c.Name == name }) ||
		slices.ContainsFunc(cfg.SetAside, func(s config.SetAside) bool { return s.Name == name })
}
