package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// maxEntries is how many changes are shown at most.
const maxEntries = 1000

// Trail is who changed what, the last thousand changes of the audit topic. It is
// safe for concurrent use.
type Trail struct {
	log    zerolog.Logger
	source *producer.CommittedLog

	mu      sync.Mutex
	entries []schemas.AuditEntry // the last one last
	err     error                // what keeps it from being up to date
}

// NewTrail returns a trail that Run keeps up to date.
func NewTrail(cluster *wire.Cluster, topic string, log zerolog.Logger) *Trail {
	return &Trail{log: log, source: &producer.CommittedLog{Cluster: cluster, Topic: topic}}
}

// Run follows the audit topic until ctx ends.
func (t *Trail) Run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := t.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
		// A topic that nothing was written to yet need not be there.
		if text := err.Error(); text != said && !errors.Is(err, wire.ErrUnknownTopic) {
			t.log.Warn().Err(err).Msg("the console cannot follow the audit topic: what it shows grows old")
			said = text
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (t *Trail) follow(ctx context.Context) error {
	actx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	start, err := t.source.Start(actx)
	if err != nil {
		return err
	}
	end, err := t.source.End(actx)
	if err != nil {
		return err
	}
	// Each change is a transaction of its own, and its marker has an offset too.
	from := max(start, end-3*maxEntries)
	t.mu.Lock()
	t.entries, t.err = nil, nil
	t.mu.Unlock()
	err = t.source.Follow(ctx, from, func(_ int64, r *schemas.Record) error { t.take(r); return nil })
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return errCutAway
	}
	return err
}

// errCutAway says that retention was faster than we, or the topic was made anew.
var errCutAway = errors.New("the audit topic does not go on where it was read to")

func (t *Trail) take(r *schemas.Record) {
	e, err := schemas.ParseAuditEntry(r.Value)
	if err != nil {
		e = schemas.AuditEntry{At: r.Time, By: "?", Via: "?", Action: "unreadable", Connector: string(r.Key), Shard: -1, Reason: "This change cannot be read by this version: " + err.Error()}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) >= 2*maxEntries {
		t.entries = append([]schemas.AuditEntry(nil), t.entries[maxEntries:]...)
	}
	t.entries = append(t.entries, e)
}

// Entries returns the last changes, of one connector unless that is empty, the
// last one first; and what keeps them from being up to date.
func (t *Trail) Entries(connector string, limit int) ([]schemas.AuditEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []schemas.AuditEntry
	for i := len(t.entries) - 1; i >= 0 && len(some) < limit; i-- {
		if connector == "" || t.entries[i].Connector == connector {
			some = append(some, t.entries[i])
		}
	}
	return some, t.err
}

// changeQuery is which changes are listed, and how.
type changeQuery struct {
	search
	Connector string // empty = all
}

// changeOrders are what changes can be sorted by: at, which they come in, is the
// order of the topic.
var changeOrders = []order[*schemas.AuditEntry]{
	{"at", nil},
	{"by", func(a, b *schemas.AuditEntry) int { return cmp.Compare(a.By, b.By) }},
	{"action", func(a, b *schemas.AuditEntry) int { return cmp.Compare(a.Action, b.Action) }},
	{"connector", func(a, b *schemas.AuditEntry) int { return cmp.Compare(a.Connector, b.Connector) }},
}

// changeSorts are what the page offers to sort by.
var changeSorts = []sortItem{{"-at", "Newest first"}, {"at", "Oldest first"}, {"by", "Who"}, {"action", "What"}, {"connector", "Connector"}}

// parseChanges reads connector, q, sort, page and per_page.
func parseChanges(v url.Values) (changeQuery, []FieldProblem) {
	s, wrong := parseSearch(v, changeOrders, "-at")
	return changeQuery{s, strings.TrimSpace(v.Get("connector"))}, wrong
}

// Find returns a page of the last changes that match, how many match in all, and
// what keeps them from being up to date.
func (t *Trail) Find(q changeQuery) (page []schemas.AuditEntry, total int, err error) {
	t.mu.Lock()
	last := t.entries[max(len(t.entries)-maxEntries, 0):] // only ever appended to
	err = t.err
	t.mu.Unlock()
	var matching []*schemas.AuditEntry
	for i := range last {
		e := &last[i]
		if (q.Connector == "" || e.Connector == q.Connector) && q.in(e.By, e.Via, e.Action, e.Connector, e.Reason) {
			matching = append(matching, e)
		}
	}
	for _, e := range pick(q.search, matching, changeOrders) {
		page = append(page, *e)
	}
	return page, len(matching), err
}

// audited is what GET /api/v1/audit answers.
type audited struct {
	Entries []json.RawMessage `json:"entries"`
	paged
	Trouble string `json:"trouble,omitempty"`
}

func (o *Options) audit(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseChanges(r.URL.Query())
	wrong = append(wrong, empty(r.URL.Query(), "sort", "page", "per_page")...)
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "The query cannot be answered.", wrong...)
		return
	}
	entries, total, err := o.Trail.Find(q)
	a := audited{Entries: []json.RawMessage{}, paged: q.of(total), Trouble: trouble(err)}
	for i := range entries {
		a.Entries = append(a.Entries, entries[i].Marshal())
	}
	answer(w, a)
}
