package docs_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var (
	section = regexp.MustCompile("(?ms)^## ([a-z -]+)\n\n```\n(.*?)^```")
	flag    = regexp.MustCompile(`--[a-z][a-z-]*`)
	shell   = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
)

// commands are those of cli.md, which TestCLIPage holds against the binary, with
// their flags.
func commands(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"completion": "", "help": ""}
	for _, m := range section.FindAllStringSubmatch(read(t, "cli.md"), -1) {
		all[m[1]] = m[2] + " --help"
	}
	if len(all) < 20 {
		t.Fatalf("found %d commands only", len(all))
	}
	return all
}

// given is a command of ours in a line of a block, by itself or after a prompt.
var given = regexp.MustCompile(`^(?:\$ )?(?:timeout \d+ )?(?:bin/)?onelogin-kafka ([a-z][^|#]*)`)

// Each line of a page that runs us, in whatever block, has a command and flags that
// exist.
func TestCommandsAndFlags(t *testing.T) {
	known, seen := commands(t), 0
	for page, text := range pages(t) {
		if page == "cli.md" { // TestCLIPage
			continue
		}
		for _, block := range anyBlock.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[2]) {
				m := given.FindStringSubmatch(strings.TrimSpace(line))
				if m == nil {
					continue
				}
				seen++
				line, words := m[1], strings.Fields(m[1])
				command := words[0]
				flags, ok := known[command]
				if !ok && len(words) > 1 {
					command += " " + words[1]
					flags, ok = known[command]
				}
				if !ok {
					t.Errorf("%s runs a command that does not exist: %s", page, line)
					continue
				}
				for _, f := range flag.FindAllString(line, -1) {
					if !regexp.MustCompile(f + `\b`).MatchString(flags) {
						t.Errorf("%s: %s has no flag %s: %s", page, command, f, line)
					}
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("looked at %d lines only", seen)
	}
}

// What the pages give to a shell is a shell's.
func TestShell(t *testing.T) {
	for page, text := range pages(t) {
		for _, block := range shell.FindAllStringSubmatch(text, -1) {
			cmd := exec.Command("bash", "-n")
			cmd.Stdin = strings.NewReader(block[1])
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", page, err, out, block[1])
			}
		}
	}
}
