package soak

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
)

// tailBuffer keeps the last lines written to it.
type tailBuffer struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 400

func (t *tailBuffer) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines = append(t.lines, line); len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// logSink reads an instance's log.
type logSink struct {
	in   *Instance
	rest bytes.Buffer
}

func (s *logSink) Write(p []byte) (int, error) {
	s.rest.Write(p)
	for {
		i := bytes.IndexByte(s.rest.Bytes(), '\n')
		if i < 0 {
			return len(p), nil
		}
		line := string(s.rest.Next(i + 1)[:i])
		s.in.log.add(line)
		var l struct {
			HTTP string `json:"http"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.HTTP != "" {
			select {
			case s.in.web <- "http://" + l.HTTP:
			default:
			}
		}
	}
}
