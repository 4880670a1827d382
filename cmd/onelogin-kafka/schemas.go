package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"onelogin-kafka/schemas"
)

// schemaSuffix is how the files of JSON Schemas end.
const schemaSuffix = ".schema.json"

func newSchemas() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schemas [name]",
		Short: "List the JSON Schemas of what is on the topics, or print one",
		Long: "List the JSON Schemas of what is on the topics, or print one as it is in this binary: it holds for what this\n" +
			"version writes. docs/formats.md says what is where.",
		Example: "  onelogin-kafka schemas\n  onelogin-kafka schemas event > event.schema.json\n" +
			"  onelogin-kafka schemas --json | jq -r .name",
		Args: args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: func(_ *cobra.Command, given []string, begun string) (list []string, _ cobra.ShellCompDirective) {
			for _, s := range allSchemas() {
				if len(given) == 0 && strings.HasPrefix(s.Name, begun) {
					list = append(list, s.Name)
				}
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		},
	}
	asJSON := cmd.Flags().Bool("json", false, "list one JSON object per line; a schema is JSON in any case")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 {
			listSchemas(cmd.OutOrStdout(), *asJSON)
			return nil
		}
		text, err := fs.ReadFile(schemas.Schemas, names[0]+schemaSuffix)
		if err != nil {
			return usage(fmt.Errorf("there is no schema %s; onelogin-kafka schemas lists them", clean(names[0])))
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}

// schema is what a list says of one.
type schema struct {
	Name        string `json:"name"`
	ID          string `json:"$id"`
	Description string `json:"description"`
}

// allSchemas are the schemas in the binary, by name.
func allSchemas() (all []schema) {
	files, _ := fs.Glob(schemas.Schemas, "*"+schemaSuffix) // the pattern is well-formed
	for _, file := range files {
		text, _ := fs.ReadFile(schemas.Schemas, file) // it is there
		var s schema
		_ = json.Unmarshal(text, &s) // a test keeps them well-formed
		s.Name = strings.TrimSuffix(file, schemaSuffix)
		all = append(all, s)
	}
	return all
}

func listSchemas(out io.Writer, asJSON bool) {
	for _, s := range allSchemas() {
		if asJSON {
			printJSON(out, s)
			continue
		}
		fmt.Fprintf(out, "%-10s  %s\n", s.Name, s.Description)
	}
}
