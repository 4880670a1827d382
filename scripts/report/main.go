// Command report reads what go test -json prints and says it in short. It fails when a test failed or was skipped, when a package
// named as an argument ran no test, and when the input ends early.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	if err := report(os.Stdin, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

type summary struct {
	passed  map[string]int // tests by package
	output  map[string][]string
	ended   map[string]bool
	failed  []string
	skipped []string
	out     io.Writer
}

func report(in io.Reader, out io.Writer, want []string) error {
	s := &summary{passed: map[string]int{}, output: map[string][]string{}, ended: map[string]bool{}, out: out}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		s.take(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading test events: %w", err)
	}
	return s.judge(want)
}

func (s *summary) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
			return
		}
		switch e.Action {
		case "pass":
			s.passed[e.Package]++
		case "fail":
			s.failed = append(s.failed, key)
			s.show(key)
		case "skip":
			s.skipped = append(s.skipped, key)
			s.show(key)
		}
		delete(s.output, key)
	}
}

func (s *summary) endPackage(e event) {
	s.ended[e.Package] = true
	fmt.Fprintf(s.out, "%-5s %-50s %4d tests %7.1f s\n", e.Action, e.Package, s.passed[e.Package], e.Elapsed)
	if e.Action != "fail" {
		return
	}
	s.failed = append(s.failed, e.Package)
	// Tests that were still running when the package ended: a panic or a timeout is in their output.
	for key := range s.output {
		if strings.HasPrefix(key, e.Package+" ") {
			s.show(key)
			delete(s.output, key)
		}
	}
}

func (s *summary) show(key string) {
	fmt.Fprintf(s.out, "--- %s\n%s", key, strings.Join(s.output[key], ""))
}

func (s *summary) judge(want []string) error {
	var problems []string
	for _, pkg := range want {
		switch {
		case !s.ended[pkg]:
			problems = append(problems, pkg+" did not end")
		case s.passed[pkg] == 0 && !slices.Contains(s.failed, pkg):
			problems = append(problems, pkg+" ran no test")
		}
	}
	for _, f := range s.failed {
		problems = append(problems, "failed: "+f)
	}
	for _, f := range s.skipped {
		problems = append(problems, "skipped: "+f)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d problem(s):\n  %s", len(problems), strings.Join(problems, "\n  "))
	}
	return nil
}
