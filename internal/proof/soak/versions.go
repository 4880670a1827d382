package soak

import (
	"context"
	"path/filepath"
	"sync"

	"onelogin-kafka/internal/proof/history"
)

// buildLast builds the version that a rolling upgrade begins with.
var buildLast = sync.OnceValues(func() (string, error) {
	plain, err := binary() // for its folder
	if err != nil {
		return "", err
	}
	v, err := history.Extract(context.Background(), history.LastLanded, filepath.Dir(plain))
	if err != nil {
		return "", err
	}
	return v.Build(context.Background(), "cmd/onelogin-kafka")
})

// mixVersions lets choose say whether the next instance started is of the last
// version.
func (w *World) mixVersions(choose func(name string) (last bool)) {
	w.tb.Helper()
	last, err := buildLast()
	if err != nil {
		w.tb.Fatal(err)
	}
	w.version = func(name string) string {
		if choose(name) {
			return last
		}
		return w.binary
	}
}
