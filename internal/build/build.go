// Package build tells what this binary was built from.
package build

import (
	_ "embed"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Info is what a binary knows of itself. No field is empty.
type Info struct {
	// Version is a release's tag, with the number of commits since and the
	// commit where there are any, or as Go writes the version of an untagged
	// commit, "v0.0.0-<UTC time>-<commit>"; "devel" if it is not known.
	Version string `json:"version"`
	// Commit is the full hash, followed by "+changes" where the sources differed
	// from it; "unknown" if it is not known.
	Commit string `json:"commit"`
	// Go is the toolchain's version.
	Go string `json:"go"`
}

// The linker sets these, see scripts/version.sh: whatever builds what ships
// names them, since Go's own stamps can be switched off (GOFLAGS) and are not
// made by go run.
var version, commit string

// archive is what git writes into an archive of the tree: commit, its time in
// seconds since 1970, and git describe's name, where there is a tag.
//
//go:embed archive.txt
var archive string

var info = read(version, commit, archive, debug.ReadBuildInfo)

// Read returns what this binary was built from.
func Read() Info { return info }

// UserAgent is how this binary calls itself in HTTP requests:
// "onelogin-kafka/<version>".
func UserAgent() string { return "onelogin-kafka/" + product(info.Version) }

// read takes the linker's word before the archive's, and that before Go's.
func read(version, commit, archive string, debugInfo func() (*debug.BuildInfo, bool)) Info {
	i := Info{Version: version, Commit: commit}
	i.fill(ofArchive(archive))
	if stamps, ok := debugInfo(); ok {
		i.fill(ofStamps(stamps))
	}
	i.fill(Info{Version: "devel", Commit: "unknown", Go: "unknown"})
	return i
}

// fill takes from o what i lacks.
func (i *Info) fill(o Info) {
	for _, f := range []struct {
		have *string
		more string
	}{{&i.Version, o.Version}, {&i.Commit, o.Commit}, {&i.Go, o.Go}} {
		if *f.have == "" {
			*f.have = f.more
		}
	}
}

func ofArchive(text string) Info {
	words := strings.Fields(text)
	if len(words) < 2 || strings.HasPrefix(text, "$") {
		return Info{}
	}
	if len(words) > 2 {
		return Info{Version: words[2], Commit: words[0]}
	}
	seconds, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || len(words[0]) < 12 {
		return Info{}
	}
	at := time.Unix(seconds, 0).UTC().Format("20060102150405")
	return Info{Version: "v0.0.0-" + at + "-" + words[0][:12], Commit: words[0]}
}

func ofStamps(stamps *debug.BuildInfo) Info {
	i := Info{Go: stamps.GoVersion}
	if v := stamps.Main.Version; v != "(devel)" {
		i.Version = v
	}
	modified := false
	for _, s := range stamps.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && i.Commit != "" {
		i.Commit += "+changes"
	}
	return i
}

// product keeps to what RFC 9110 lets a product's version be: whoever builds
// may set any version.
func product(version string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return r
		}
		return '-'
	}, version)
}
