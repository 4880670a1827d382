package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
)

// completions has the shells complete connectors' names, wherever a command
// takes one, and the files that --config names.
func completions(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completions(sub)
	}
	if cmd.Flags().Lookup("config") == nil {
		return
	}
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // the flag is there
	if _, after, takes := strings.Cut(cmd.Use, "connector"); takes && cmd.ValidArgsFunction == nil {
		one := !strings.HasPrefix(after, "…") && !strings.Contains(after, "|id…")
		cmd.ValidArgsFunction = completeConnectors(one)
	}
}

// completeConnectors completes names from the configuration that the command
// would read; only the first where it takes one.
func completeConnectors(one bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		if one && len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		cfg, err := config.Load(configPath(cmd), os.LookupEnv)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // a shell has no use for the reason
		}
		glance(cmd.Context(), cfg)
		names := slices.DeleteFunc(configuredNames(cfg), func(name string) bool {
			return !strings.HasPrefix(name, begun) || slices.Contains(given, name)
		})
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
