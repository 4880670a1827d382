package service

import (
	"net/http"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/source/onelogin"
)

const (
	// mostKept is how many connectors keep a connection to OneLogin from poll to
	// poll, about. One that waits takes 40 KiB and a file, to begin one for each poll
	// takes 0.8 ms of processor time: thousands more would rather have the memory.
	mostKept = 7000
	// brief is how long the others keep theirs: while polls come close behind each
	// other, or pages.
	brief = 5 * time.Second
)

// ways carry requests to OneLogin.
type ways struct {
	kept, brief http.RoundTripper
	room        int // connectors that may have kept
}

// waysOut returns the ways of a process, which share the open files.
func (s *Service) waysOut(cfg *config.Config) ways {
	l := onelogin.Limits{Connections: s.forOneLogin(len(cfg.Connectors))}
	t := Transport(cfg, l)
	// Many connectors can share one host: a proxy, or the simulator.
	t.MaxIdleConnsPerHost = 512
	b := t.Clone()
	b.IdleConnTimeout = brief
	w := ways{kept: t, brief: b, room: mostKept}
	if l.Connections > 0 {
		w.room = min(w.room, l.Kept())
		// Half of what is spare stays with those that begin.
		b.MaxIdleConns = max((l.Connections+l.Kept())/2-w.room, 1)
	}
	return w
}

// of returns the way of a connector that has so many before it.
func (w *ways) of(before int) http.RoundTripper {
	if before < w.room {
		return w.kept
	}
	return w.brief
}

func (w *ways) closeIdle() {
	for _, t := range []http.RoundTripper{w.kept, w.brief} {
		if t, ok := t.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}
