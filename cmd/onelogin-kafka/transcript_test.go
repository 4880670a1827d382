package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// updateWalk writes the page anew: flock … go test ./cmd/onelogin-kafka -run TestMonday -args -update-walk.
var updateWalk = flag.Bool("update-walk", false, "write docs/walkthrough.md anew")

const walkPage = "../../docs/walkthrough.md"

// transcript is what somebody types, reads and thinks.
type transcript struct {
	t    *testing.T
	page string // its path
	text strings.Builder
	open bool            // a block of commands
	all  strings.Builder // all that commands have said
}

// say writes a paragraph.
func (tr *transcript) say(text string) {
	tr.close()
	fmt.Fprintf(&tr.text, "\n%s\n", text)
}

func (tr *transcript) close() {
	if tr.open {
		tr.text.WriteString("```\n")
	}
	tr.open = false
}

// show writes what is seen, in a block.
func (tr *transcript) show(text string) {
	if !tr.open {
		tr.text.WriteString("\n```\n")
	}
	tr.open = true
	tr.text.WriteString(text)
}

// run gives a command, which exits with code and says a thing.
func (tr *transcript) run(code int, says string, args ...string) string {
	tr.t.Helper()
	got, out := tr.try(args...)
	if got != code || !strings.Contains(out, says) {
		tr.t.Fatalf("%q: got exit %d, want %d with %q:\n%s", args, got, code, says, out)
	}
	tr.told(code, out, args...)
	return out
}

func (tr *transcript) try(args ...string) (int, string) {
	tr.t.Helper()
	code, out, errs := runCommand(tr.t, args...)
	tr.all.WriteString(out + errs)
	return code, errs + out
}

// until gives a command again and again, until it says a thing.
func (tr *transcript) until(code int, says string, args ...string) string {
	tr.t.Helper()
	out := ""
	eventually(tr.t, strings.Join(args, " ")+" to say "+says, func() bool {
		var got int
		got, out = tr.try(args...)
		return got == code && strings.Contains(out, says)
	})
	tr.told(code, out, args...)
	return out
}

// slow are lines that only a slow machine shows: how far a comparison is, and what is tried again.
var slow = regexp.MustCompile(`(?m)^(reading the topic: | *\d+ %  |onelogin-kafka: .*; trying again$).*\n`)

var special = regexp.MustCompile(`^[\w./:=@%+,-]+$`)

func (tr *transcript) told(code int, out string, args ...string) {
	quoted := []string{"onelogin-kafka"}
	for _, a := range args {
		if !special.MatchString(a) {
			a = "'" + a + "'"
		}
		quoted = append(quoted, a)
	}
	exit := ""
	if code != exitOK {
		exit = fmt.Sprintf("        # exit code %d", code)
	}
	tr.show("$ " + strings.Join(quoted, " ") + exit + "\n" + elide(slow.ReplaceAllString(out, "")))
}

// alike are lines of which a few stand for many.
var alike = regexp.MustCompile(`^(ok {6})?tenant-\d+ `)

// elide leaves two of the lines that are alike.
func elide(text string) string {
	var b strings.Builder
	n := 0
	flush := func() {
		if n > 2 {
			fmt.Fprintf(&b, "… and %d more like these\n", n-2)
		}
		n = 0
	}
	for line := range strings.Lines(text) {
		if alike.MatchString(line) && !strings.Contains(line, "FAILING") {
			if n++; n > 2 {
				continue
			}
		} else {
			flush()
		}
		b.WriteString(line)
	}
	flush()
	return b.String()
}

// What differs from one walk to the next, and is put in its place.
var differs = []struct {
	is  *regexp.Regexp
	put string
}{
	{regexp.MustCompile(`(?m)^(\S+ +(?:ACTIVE|FAILING|INACTIVE|PAUSED|CATCHING_UP|THROTTLED) ).*$`), "$1…"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b\d{8}-\d{6}-[0-9a-z]{5}\b`), "JOB"},
	{regexp.MustCompile(`request id "[0-9a-f]+"`), `request id "KEY"`}, // without its leading zeros
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "KEY"},
	{regexp.MustCompile(`\S+@\S+?([\s,;)"]|$)`), "WHO$1"},
	{regexp.MustCompile(`\b[\d.]+(ns|µs|ms|s|m|h|d)\b`), "LONG"},
	{regexp.MustCompile(`\d+`), "N"},
	{regexp.MustCompile(` {2,}`), "  "},
}

func normal(text string) string {
	for _, d := range differs {
		text = d.is.ReplaceAllString(text, d.put)
	}
	return text
}

// hold compares the walk with the page, or writes it.
func (tr *transcript) hold() {
	tr.t.Helper()
	tr.close()
	if *updateWalk {
		if err := os.WriteFile(tr.page, []byte(tr.text.String()), 0o644); err != nil {
			tr.t.Fatal(err)
		}
	}
	if d := cmp.Diff(strings.Split(normal(fileText(tr.t, tr.page)), "\n"), strings.Split(normal(tr.text.String()), "\n")); d != "" {
		tr.t.Errorf("docs/walkthrough.md is not how it went (-page +seen):\n%s", d)
	}
}
