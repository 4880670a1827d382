package schemas

import (
	_ "embed" // the table of event types
	"encoding/csv"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// eventTypes is the table of OneLogin's event types: id and name are used, the
// other columns say where a row comes from.
//
//go:embed onelogin-event-types.csv
var eventTypes string

// maxTypes bounds what is remembered, so that an API that invents type ids
// cannot fill the memory.
const maxTypes = 1 << 14

// Types gives the name of an event type. It is safe for concurrent use: a
// lookup reads an immutable map, and a change replaces the map.
type Types struct {
	known atomic.Pointer[map[int64]typeInfo]
	mu    sync.Mutex // held by those who replace the map
}

// typeInfo is what the headers of an event of one type need.
type typeInfo struct {
	name   []byte // nil if unknown
	ceType []byte // com.onelogin.event.<id>
}

// NewTypes returns the table of the types known at build time.
func NewTypes() *Types {
	t := new(Types)
	names := parseTypes(eventTypes)
	m := make(map[int64]typeInfo, len(names))
	for id, name := range names {
		m[id] = newTypeInfo(id, name)
	}
	t.known.Store(&m)
	return t
}

// parseTypes reads the embedded table, which a test keeps well-formed.
func parseTypes(table string) map[int64]string {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		panic("schemas: reading event types: " + err.Error())
	}
	names := make(map[int64]string, len(rows))
	for _, row := range rows[1:] {
		id, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			panic("schemas: reading event types: " + err.Error())
		}
		names[id] = row[1]
	}
	return names
}

func newTypeInfo(id int64, name string) typeInfo {
	info := typeInfo{ceType: appendInt([]byte(ceTypePrefix), id)}
	if name != "" {
		info.name = []byte(strings.ToValidUTF8(name, "\uFFFD"))
	}
	return info
}

// Name returns the name of the event type, e.g. USER_LOGGED_INTO_ONELOGIN; nil
// if it is unknown. The bytes must not be changed.
func (t *Types) Name(id int64) []byte {
	return (*t.known.Load())[id].name
}

// Set adds names, e.g. those the API lists, and replaces the ones known for the
// same ids. An empty name makes the type unknown. Beyond 16,384 types new ones
// are ignored.
func (t *Types) Set(names map[int64]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := maps.Clone(*t.known.Load())
	for id, name := range names {
		if _, ok := m[id]; ok || len(m) < maxTypes {
			m[id] = newTypeInfo(id, name)
		}
	}
	t.known.Store(&m)
}

// info returns what is known of the type, and remembers types not seen before.
func (t *Types) info(id int64) typeInfo {
	m := *t.known.Load()
	if info, ok := m[id]; ok {
		return info
	}
	info := newTypeInfo(id, "")
	if len(m) < maxTypes {
		t.remember(id, info)
	}
	return info
}

func (t *Types) remember(id int64, info typeInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.known.Load()
	if _, ok := old[id]; ok {
		return
	}
	m := maps.Clone(old)
	m[id] = info
	t.known.Store(&m)
}
