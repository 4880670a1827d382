package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// maxStreams is how many pages can be live at once.
	maxStreams = 500
	// streamPace is the least time between two sendings of a stream.
	streamPace = 250 * time.Millisecond
	// streamLook is how often a stream looks for states that nobody tells of: of
	// connectors whose instance is dead; and whether its caller would still be let
	// in.
	streamLook = 5 * time.Second
	// streamPatience is how long a browser may take to read.
	streamPatience = 10 * time.Second
)

// streams sends what changes to open pages.
type streams struct {
	opts  *Options
	doors *doors
	open  atomic.Int64
}

// serve sends an event "connector" with the connector's row for each of those
// asked for, now and at each change, until the caller goes, or would not be let in
// any more; and an event "counts" with how many are in each state and where else the
// same is shown. Where jobs are asked for, of a connector or of all, it sends an
// event "job" for each of them that is another than before. The details of a
// connector, the audit and the fleet, where they are asked for, are each told whole
// when anything in them is another.
func (s *streams) serve(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["connector"]
	parts, wrong := s.opts.partsOf(r.URL.Query())
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "The query cannot be answered.", wrong...)
		return
	}
	if name := r.URL.Query().Get("details"); name != "" && !slices.Contains(names, name) {
		names = append(slices.Clip(names), name)
	}
	if len(names) > maxPerPage {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("A stream is of %d connectors at most.", maxPerPage))
		return
	}
	if s.open.Add(1) > maxStreams {
		s.open.Add(-1)
		refuse(w, http.StatusServiceUnavailable, "Too many pages are open. Close some, or ask another instance.")
		return
	}
	defer s.open.Add(-1)
	watcher, end := s.opts.Board.watch(names)
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	st := &stream{opts: s.opts, w: w, r: r, control: http.NewResponseController(w), told: map[string]schemas.State{}, parts: parts}
	st.watchJobs()
	if st.counts() != nil || st.sendJobs() != nil || st.send(names) != nil {
		return
	}
	look := time.NewTicker(streamLook)
	defer look.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-look.C:
			if s.doors.caller(r).role < viewer {
				return // signed out, or the token is another one now
			}
			if st.counts() != nil || st.send(st.silent(names)) != nil {
				return
			}
		case <-st.news:
			if st.sendJobs() != nil || st.control.Flush() != nil {
				return
			}
		case <-watcher.ring:
			if st.send(watcher.take()) != nil {
				return
			}
			// Others gather meanwhile.
			select {
			case <-time.After(streamPace):
			case <-r.Context().Done():
				return
			}
		}
	}
}

// stream is one open page.
type stream struct {
	opts    *Options
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	told    map[string]schemas.State

	jobsOf   string
	news     <-chan struct{} // nil where no jobs are asked for
	toldJobs map[string]jobRow

	parts []*part
}

// watchJobs begins to look for jobs, if they are asked for.
func (s *stream) watchJobs() {
	if q := s.r.URL.Query(); q.Has("jobs") && s.opts.Desk != nil {
		s.jobsOf, s.toldJobs, s.news = q.Get("jobs"), map[string]jobRow{}, s.opts.Desk.next()
	}
}

// sendJobs sends the jobs of the first page that are others than before, the
// newest last.
func (s *stream) sendJobs() error {
	if s.news == nil {
		return nil
	}
	s.news = s.opts.Desk.next()
	list, _, _ := s.opts.Desk.Jobs(s.jobsOf)
	for i := range slices.Backward(list[:min(len(list), perPage)]) {
		row := jobRowOf(&list[i])
		if key := row.Connector + "/" + row.ID; s.toldJobs[key] != row {
			s.toldJobs[key] = row
			if err := s.event("job", row); err != nil {
				return err
			}
		}
	}
	return nil
}

// silent are those whose state is another, though nobody says so.
func (s *stream) silent(names []string) []string {
	var changed []string
	now := time.Now()
	for _, name := range names {
		if st, ok := s.opts.Board.Get(name, now); ok && st.State != s.told[name] {
			changed = append(changed, name)
		}
	}
	return changed
}

// send sends the rows of connectors, and what else the caller has asked for.
func (s *stream) send(names []string) error {
	now := time.Now()
	for _, name := range names {
		st, ok := s.opts.Board.Get(name, now)
		if !ok {
			delete(s.told, name)
			if err := s.event("removed", map[string]string{"connector": name}); err != nil {
				return err
			}
			continue
		}
		s.told[name] = st.State
		if err := s.event("connector", s.opts.row(&st, now)); err != nil {
			return err
		}
	}
	if err := s.sendParts(now); err != nil {
		return err
	}
	return s.control.Flush()
}

// counts is sent though nothing has changed: it shows that the stream lives.
func (s *stream) counts() error {
	now := time.Now()
	states, _ := s.opts.Board.Counts(now)
	counts := map[string]any{"counts": states, "trouble": s.opts.trouble(s.news != nil, s.r.URL.Query().Has("audit")), "elsewhere": s.opts.elsewhere(s.r, now)}
	if s.news != nil {
		if _, at, _ := s.opts.Desk.Jobs(s.jobsOf); !at.IsZero() {
			counts["jobs_at"] = at
		}
	}
	return s.event("counts", counts)
}

func (s *stream) event(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	// The server's own deadline is for answers that end.
	if err := s.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return fmt.Errorf("setting a stream's deadline: %w", err)
	}
	_, err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, data)
	return err
}
