package build

import (
	"runtime/debug"
	"strings"
	"testing"
)

const hash = "3cc687812f4568a4f69153fd0c312a4ca27b2af9"

func TestRead(t *testing.T) {
	t.Parallel()
	stamped := func(modified string) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v9.9.9"}, Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "stamped"}, {Key: "vcs.modified", Value: modified},
			}}, true
		}
	}
	bare := func() (*debug.BuildInfo, bool) {
		return &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "(devel)"}}, true
	}
	nothing := func() (*debug.BuildInfo, bool) { return nil, false }
	const template = "$Format:%H %ct %(describe:tags)$\n"
	for name, tc := range map[string]struct {
		version, commit, archive string
		stamps                   func() (*debug.BuildInfo, bool)
		want                     Info
	}{
		"the linker's":                      {"v1.2.3", hash, hash + " 1795724843 v7\n", stamped("true"), Info{"v1.2.3", hash, "go1.26"}},
		"the linker's version only":         {"v1.2.3", "", template, stamped("false"), Info{"v1.2.3", "stamped", "go1.26"}},
		"an archive with a tag":             {"", "", hash + " 1795724843 v1.2.3-4-g3cc6878\n", bare, Info{"v1.2.3-4-g3cc6878", hash, "go1.26"}},
		"an archive without":                {"", "", hash + " 1795724843 \n", stamped("false"), Info{"v0.0.0-20261126202723-3cc687812f45", hash, "go1.26"}},
		"Go's stamps":                       {"", "", template, stamped("false"), Info{"v9.9.9", "stamped", "go1.26"}},
		"Go's stamps of a changed tree":     {"", "", template, stamped("true"), Info{"v9.9.9", "stamped+changes", "go1.26"}},
		"go run, or stamps switched off":    {"", "", template, bare, Info{"devel", "unknown", "go1.26"}},
		"a binary that was stripped of all": {"", "", "", nothing, Info{"devel", "unknown", "unknown"}},
		"an archive that makes no sense":    {"", "", "abc def\n", nothing, Info{"devel", "unknown", "unknown"}},
	} {
		if got := read(tc.version, tc.commit, tc.archive, tc.stamps); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

// Whatever a version is set to, requests can be made.
func TestUserAgent(t *testing.T) {
	t.Parallel()
	if got := UserAgent(); got != "onelogin-kafka/"+product(Read().Version) {
		t.Errorf("got %q", got)
	}
	for version, want := range map[string]string{
		"v0.0.0-20261126202723-3cc687812f45+dirty": "v0.0.0-20261126202723-3cc687812f45+dirty", "1.0 (beta)\r\nX: y": "1.0--beta---X--y", "ä": "-",
	} {
		if got := product(version); got != want {
			t.Errorf("%q: got %q, want %q", version, got, want)
		}
	}
	if strings.ContainsAny(product("a\x00b\x7f"), "\x00\x7f") {
		t.Error("a control character is left")
	}
}
