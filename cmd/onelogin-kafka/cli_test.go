package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// updateCLI writes the page anew: go test ./cmd/onelogin-kafka -run TestCLIPage -args -update-cli.
var updateCLI = flag.Bool("update-cli", false, "write docs/cli.md anew")

const cliPage = "../../docs/cli.md"

// cliHead begins the page: what holds for all commands.
const cliHead = `# Commands

Generated from the commands' own help; ` + "`onelogin-kafka man --dir DIR`" + ` writes the same as manual pages, and ` + "`onelogin-kafka completion bash`" + ` (zsh,
fish, powershell) a script that completes commands, flags and the names of connectors.

` + "`--json`" + ` prints JSON Lines: one object per line, and nothing else on standard output; ` + "`version --json`" + ` prints one. Notes, warnings and errors go to
standard error. What changes something prints what it would do; ` + "`--yes`" + ` does it.

| exit code | meaning |
| --- | --- |
| 0 | well, or done, or ended by Ctrl-C where that is how it ends |
| 1 | failed: the text says what, and what to do. ` + "`status`: any FAILING or INACTIVE. `check`" + `: one check failed |
| 2 | wrong usage or configuration, or a cluster or topic that is unfit (which ` + "`check`" + ` counts as a failed check); never anything else. Nothing was done |
| 3 to 125 | ` + "`check`" + ` only: the number of failed checks, but that two exit with 3; 125 stands for all that are more |
`

// commands calls do with every command that does something, in order.
func commands(cmd *cobra.Command, do func(*cobra.Command)) {
	if cmd.Runnable() && !cmd.HasSubCommands() && !cmd.Hidden {
		do(cmd)
	}
	for _, sub := range cmd.Commands() {
		commands(sub, do)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	n := 0
	commands(newRoot(), func(c *cobra.Command) {
		n++
		if !strings.Contains(c.Example, "  "+c.Root().Name()+" ") && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example: its help must show one", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: a line of its help is %d columns wide: %s", c.CommandPath(), len([]rune(line)), line)
			}
		}
	})
	if n < 20 {
		t.Errorf("looked at %d commands only", n)
	}
}

// TestCLIPage: docs/cli.md says what the commands' own help says.
func TestCLIPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(cliHead)
	commands(newRoot(), func(c *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n", strings.TrimPrefix(c.CommandPath(), "onelogin-kafka "), c.UseLine())
		if flags := strings.TrimRight(c.NonInheritedFlags().FlagUsages(), "\n"); flags != "" {
			fmt.Fprintf(&b, "\n%s\n", flags)
		}
		fmt.Fprintf(&b, "```\n\n%s\n", strings.TrimSpace(c.Short+".\n\n"+c.Long))
		fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.TrimRight(c.Example, "\n"))
	})
	if *updateCLI {
		if err := os.WriteFile(cliPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(readFile(t, cliPage), b.String()); d != "" {
		t.Errorf("docs/cli.md is not what the commands say; go test ./cmd/onelogin-kafka -run TestCLIPage -args -update-cli writes it anew:\n%s", d)
	}
}

func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	expect(t, exitUsage, "--dir names the folder", "man")
	expect(t, exitOK, "", "man", "--dir", dir)
	commands(newRoot(), func(c *cobra.Command) {
		page := readFile(t, filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if !strings.Contains(page, ".SH EXAMPLE") || !strings.Contains(page, ".SH OPTIONS") {
			t.Errorf("the page of %s lacks its options or example:\n%s", c.CommandPath(), page)
		}
	})
}

// TestCompletions: the names of connectors, wherever a command takes one.
func TestCompletions(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", "kafka: {brokers: [\"127.0.0.1:1\"]}\nconnectors:\n"+
		"- {name: acme, domain: acme, client_id: id, client_secret: s}\n- {name: globex, domain: globex, client_id: id, client_secret: s}\n"+
		"- {name: bare, domain: bare, client_id: id, client_secret_file: nowhere}\n")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--config", file, ""}, "acme\nbare\nglobex\n:4\n"},
		{[]string{"check", "--config", file, "acme", ""}, "bare\nglobex\n:4\n"},
		{[]string{"tail", "--config", file, "g"}, "globex\n:4\n"},
		{[]string{"tail", "--config", file, "acme", ""}, ":4\n"},
		{[]string{"offsets", "set", "--config", file, "a"}, "acme\n:4\n"},
		{[]string{"offsets", "show", "--config", file, "acme", "g"}, "globex\n:4\n"},
		{[]string{"deadletter", "replay", "--config", file, "acme", "g"}, "globex\n:4\n"},
		{[]string{"status", "--config", file + ".none", ""}, ":4\n"},
	} {
		code, out, _ := runCommand(t, append([]string{"__complete"}, tc.args...)...)
		if code != exitOK || out != tc.want {
			t.Errorf("%q: got exit %d and %q, want %q", tc.args, code, out, tc.want)
		}
	}
}

// TestFailedCode: no number of failed checks is taken for a usage error.
func TestFailedCode(t *testing.T) {
	for failed := range 200 {
		code := failedCode(failed)
		if code == exitUsage || (code == exitOK) != (failed == 0) || code > maxFailures {
			t.Errorf("%d failed checks: exit %d", failed, code)
		}
		if failed != 2 && failed <= maxFailures && code != failed {
			t.Errorf("%d failed checks: exit %d", failed, code)
		}
	}
}
