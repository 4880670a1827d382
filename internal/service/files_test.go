package service

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
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
