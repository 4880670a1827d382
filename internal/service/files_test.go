package service

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
)

func TestFilesAreReserved(t *testing.T) {
	for _, tc := range []struct {
		files      uint64
		connectors int
		want       int
		warned     bool
	}{
		{files: 0, connectors: 10_000, want: 0},
		{files: 1 << 20, connectors: 10_000, want: 1<<20 - 1024},
		{files: 1<<63 - 1, connectors: 10_000, want: 1<<30 - 1024},
		{files: 4096, connectors: 3072 - 256, want: 3072},
		{files: 4096, connectors: 3073 - 256, want: 3072, warned: true},
		{files: 256, connectors: 3, want: 128},
	} {
		var log bytes.Buffer
		s := &Service{opts: Options{Files: tc.files, Log: zerolog.New(&log)}}
		if got := s.forOneLogin(tc.connectors); got != tc.want {
			t.Errorf("%d files: got %d connections, want %d", tc.files, got, tc.want)
		}
		if warned := strings.Contains(log.String(), "limit of open files"); warned != tc.warned {
			t.Errorf("%d files, %d connectors: a warning: got %t, want %t (%s)", tc.files, tc.connectors, warned, tc.warned, log.String())
		}
	}
}

// The first connectors keep a connection, as far as there are files, the others do
// not take it from them: those that wait of both leave room for who begins.
func TestConnectionsAreKeptForTheFirst(t *testing.T) {
	for _, tc := range []struct {
		files      uint64
		kept, idle int
	}{
		{files: 0, kept: mostKept},
		{files: 1 << 20, kept: mostKept, idle: 1<<20 - 1024 - 128},
		{files: 4096, kept: 3072 - 256, idle: 3072 - 128},
		{files: 256, kept: 64, idle: 96},
	} {
		s := &Service{opts: Options{Files: tc.files, Log: zerolog.Nop()}}
		w := s.waysOut(&config.Config{})
		if w.of(0) != w.kept || w.of(tc.kept-1) != w.kept || w.of(tc.kept) != w.brief {
			t.Errorf("%d files: connections are kept for %d connectors, want %d", tc.files, w.room, tc.kept)
		}
		b := w.brief.(*http.Transport)
		if idle := tc.kept + b.MaxIdleConns; tc.files > 0 && idle != tc.idle {
			t.Errorf("%d files: %d connections may wait, want %d", tc.files, idle, tc.idle)
		}
		if k := w.kept.(*http.Transport); b.IdleConnTimeout >= k.IdleConnTimeout {
			t.Errorf("%d files: kept for %v and %v", tc.files, k.IdleConnTimeout, b.IdleConnTimeout)
		}
	}
}
