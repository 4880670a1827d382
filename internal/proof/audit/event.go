package audit

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	sourceForm   = regexp.MustCompile(`^https://[^/?#\s]+/api/1/events$`)
	typeNameForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_]*$`)
)

// knownHeaders are the headers an event may have; true for those it must have.
var knownHeaders = map[string]bool{
	"ce_specversion": true, "ce_id": true, "ce_source": true, "ce_type": true, "ce_time": true,
	"content-type": true, "tenant": true, "onelogin_account_id": false, "onelogin_event_type": false, "late": false,
}

// readEvent is A4: it judges what follows from the record alone.
func (a *Auditor) readEvent(e *Entry) found {
	f := found{event: event{offset: e.Offset, partition: e.Partition}}
	flaw := func(name, format string, args ...any) {
		f.problems = append(f.problems, problem{"A4", name, fmt.Sprintf("record at %s: ", f.event.at()) + fmt.Sprintf(format, args...)})
	}
	headers := map[string]string{}
	for _, h := range e.Headers {
		if _, ok := headers[h.Key]; ok {
			flaw("header-repeated", "header %q is there twice", h.Key)
		}
		if _, ok := knownHeaders[h.Key]; !ok {
			flaw("header-unknown", "header %q is not agreed", h.Key)
		}
		headers[h.Key] = string(h.Value)
	}
	for name, must := range knownHeaders {
		if _, ok := headers[name]; must && !ok {
			flaw("header-"+name, "header %s is missing", name)
		}
	}
	f.connector = headers["tenant"]
	if f.connector == "" {
		f.connector, _, _ = strings.Cut(string(e.Key), ":")
	}
	v, err := parseEvent(e.Value)
	if err != nil {
		flaw("value", "%v", err)
		f.unusable = true
		return f
	}
	f.source = headers["ce_source"]
	f.event.id, f.event.created, f.event.sum = v.id, v.created, sum(e.Value)
	a.judgeHeaders(&f, v, headers, flaw)
	a.judgeKey(e, &f, v, flaw)
	if e.Time.UnixMilli() != floorDiv(v.created, 1000) {
		flaw("timestamp", "timestamp is %s, created_at %s", stamp(micros(e.Time)), v.createdText)
	}
	return f
}

func (a *Auditor) judgeHeaders(f *found, v fields, headers map[string]string, flaw func(name, format string, args ...any)) {
	want := map[string]string{
		"ce_specversion": "1.0", "content-type": "application/json",
		"ce_id": strconv.FormatInt(v.id, 10), "ce_time": v.createdText,
	}
	if v.typeID != "" {
		want["ce_type"] = "com.onelogin.event." + v.typeID
	}
	if v.accountID != "" {
		want["onelogin_account_id"] = v.accountID
	}
	for name, w := range want {
		got, ok := headers[name]
		if !ok && knownHeaders[name] {
			continue // told as missing
		}
		if got != w {
			flaw("header-"+name, "header %s is %q, want %q", name, got, w)
		}
	}
	if s, ok := headers["ce_source"]; ok && !sourceForm.MatchString(s) {
		flaw("header-ce_source", "header ce_source is %q", s)
	}
	if s, ok := headers["ce_type"]; ok && !strings.HasPrefix(s, "com.onelogin.event.") {
		flaw("header-ce_type", "header ce_type is %q", s)
	}
	if s, ok := headers["onelogin_event_type"]; ok {
		known, seen := a.typeNames[v.typeID]
		if !typeNameForm.MatchString(s) || seen && known != s || v.typeID == "" {
			flaw("header-onelogin_event_type", "header onelogin_event_type is %q for type %q, elsewhere %q", s, v.typeID, known)
		}
		if !seen {
			a.typeNames[v.typeID] = s
		}
	}
	if s, ok := headers["late"]; ok {
		f.event.late = true
		if s != "true" {
			flaw("header-late", "header late is %q", s)
		}
	}
}

func (a *Auditor) judgeKey(e *Entry, f *found, v fields, flaw func(name, format string, args ...any)) {
	want := f.connector
	switch {
	case a.rules.Key == "event":
		want += ":" + strconv.FormatInt(v.id, 10)
	case a.rules.Key == "user" && v.userID != "":
		want += ":" + v.userID
	}
	if string(e.Key) != want {
		flaw("key", "key is %.80q, want %q", e.Key, want)
	}
	if n := a.partitions[Events]; n > 0 && partitionOf(e.Key, n) != e.Partition {
		flaw("partition", "key %.80q belongs to partition %d", e.Key, partitionOf(e.Key, n))
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
