package schemas

import (
	"encoding/json"
	"fmt"
	"time"
)

// AuditVersion is the format version of the values on the audit topic.
const AuditVersion = 1

// AuditEntry is one change by somebody: a value on the audit topic, whose key is the
// connector, or empty for what concerns no single one. It never holds a secret:
// Before and After are what Shown and the like return.
type AuditEntry struct {
	// Version is AuditVersion; Marshal writes it whatever it is here.
	Version int
	At      time.Time
	// By is who changed it, as far as the surface he used can tell.
	By string
	// Via is that surface: command, console, api, service.
	Via string
	// Action is what was done, e.g. "connector.edit".
	Action    string
	Connector string
	// Shard is the partition of the offsets topic that was written; -1 = none.
	Shard int32
	// Generation is that of the connector after the change; 0 = does not apply.
	Generation int64
	// Before and After are JSON; nil = nothing was there, or is left.
	Before, After json.RawMessage
	Reason        string
}

// wireAudit is AuditEntry as JSON.
type wireAudit struct {
	Version    int             `json:"version"`
	At         *time.Time      `json:"at"`
	By         string          `json:"by"`
	Via        string          `json:"via"`
	Action     string          `json:"action"`
	Connector  string          `json:"connector,omitempty"`
	Shard      *int32          `json:"shard,omitempty"`
	Generation int64           `json:"generation,omitempty"`
	Before     json.RawMessage `json:"before,omitempty"`
	After      json.RawMessage `json:"after,omitempty"`
	Reason     string          `json:"reason,omitempty"`
}

// Marshal returns a as JSON. Before and After must be JSON, or empty.
func (a AuditEntry) Marshal() []byte {
	at := wireTime(a.At)
	w := wireAudit{AuditVersion, &at, a.By, a.Via, a.Action, a.Connector, nil, a.Generation, a.Before, a.After, a.Reason}
	if a.Shard >= 0 {
		w.Shard = &a.Shard
	}
	return marshal(w)
}

// Record returns a as a record of the audit topic.
func (a AuditEntry) Record() Record {
	return Record{Topic: Audit, Key: []byte(a.Connector), Value: a.Marshal(), Time: a.At}
}

// ParseAuditEntry reads what Marshal wrote. Fields it does not know are ignored. The
// error wraps ErrVersion for an unknown version.
func ParseAuditEntry(value []byte) (AuditEntry, error) {
	if err := checkVersion(value, AuditVersion); err != nil {
		return AuditEntry{}, fmt.Errorf("parsing audit: %w", err)
	}
	var w wireAudit
	if err := json.Unmarshal(value, &w); err != nil {
		return AuditEntry{}, fmt.Errorf("parsing audit: %w", err)
	}
	if err := required(field{"at", w.At == nil}, field{"by", w.By == ""}, field{"via", w.Via == ""}, field{"action", w.Action == ""}); err != nil {
		return AuditEntry{}, fmt.Errorf("parsing audit: %w", err)
	}
	a := AuditEntry{
		Version: w.Version, At: timeOf(w.At), By: w.By, Via: w.Via, Action: w.Action, Connector: w.Connector, Shard: -1,
		Generation: w.Generation, Before: w.Before, After: w.After, Reason: w.Reason,
	}
	if w.Shard != nil {
		a.Shard = *w.Shard
	}
	return a, nil
}
