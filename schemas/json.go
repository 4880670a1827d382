package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schemas holds the JSON Schemas (draft 2020-12) of what travels on the
// topics: event, headers, offset, minute, owner, status, connector, sealing, bell,
// job, job-progress and audit, each as "<name>.schema.json".
//
//go:embed *.schema.json
var Schemas embed.FS

// ErrVersion is returned (wrapped, with the version found) for a value whose
// format version this program does not know. Such a value is never read in
// part: what a later version means by the same fields is unknown.
var ErrVersion = errors.New("unknown format version")

// checkVersion reads only the version, so that a later format whose other
// fields have changed is still told from a damaged value.
func checkVersion(value []byte, known int) error { //nolint:unparam // each format has a version of its own, all of them 1 so far
	var head struct {
		Version json.RawMessage `json:"version"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return err
	}
	if head.Version == nil {
		return fmt.Errorf("%w: found none, this program knows %d", ErrVersion, known)
	}
	var found int
	if err := json.Unmarshal(head.Version, &found); err != nil || found != known {
		return fmt.Errorf("%w: found %.20s, this program knows %d; use the version that wrote it, or a later one", ErrVersion, head.Version, known)
	}
	return nil
}

// marshal writes v, which holds nothing that encoding/json refuses, without
// escaping <, > and &: messages and domains stay readable.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("schemas: " + err.Error()) // impossible: times are clamped, numbers finite
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

// wireTime is t in UTC, within the years that RFC 3339 can express.
func wireTime(t time.Time) time.Time {
	t = t.UTC()
	if t.Before(firstTime) {
		return firstTime
	}
	if t.After(lastTime) {
		return lastTime
	}
	return t
}

// field is one part of a value that must be there.
type field struct {
	name    string
	missing bool
}

// required names the first field that is missing.
func required(fields ...field) error {
	for _, f := range fields {
		if f.missing {
			return fmt.Errorf("%s is missing", f.name)
		}
	}
	return nil
}

// timeOf is *t in UTC; the zero time for nil.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return wireTime(*t)
}
