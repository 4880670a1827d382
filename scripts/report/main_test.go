package main

import (
	"io"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const (
		pass    = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		end     = `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n"
		skip    = `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
		fail    = `{"Action":"output","Package":"p","Test":"TestC","Output":"why\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}` + "\n"
		failEnd = `{"Action":"fail","Package":"p","Elapsed":1.5}` + "\n"
		noFiles = `{"Action":"skip","Package":"q","Elapsed":0}` + "\n"
	)
	for name, tc := range map[string]struct{ in, want string }{
		"passed":              {pass + end, ""},
		"skipped":             {pass + skip + end, "skipped: p TestB"},
		"failed":              {pass + fail + failEnd, "failed: p TestC"},
		"panic, timeout":      {pass + failEnd, "failed: p"},
		"build failed":        {failEnd, "failed: p"},
		"no test ran":         {end, "p ran no test"},
		"ended early":         {pass, "p did not end"},
		"nothing":             {"", "p did not end"},
		"not JSON":            {"go: some message\n", "p did not end"},
		"package of no tests": {pass + end + noFiles, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := report(strings.NewReader(tc.in), io.Discard, []string{"p"})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestReportShowsWhatFailed(t *testing.T) {
	var out strings.Builder
	in := `{"Action":"output","Package":"p","Test":"TestC","Output":"the reason\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestD","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
	if err := report(strings.NewReader(in), &out, []string{"p"}); err == nil {
		t.Error("got no error")
	}
	for _, want := range []string{"the reason", "panic: x"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want %q in it", out.String(), want)
		}
	}
}
