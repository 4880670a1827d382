package onelogin

import (
	"bytes"
	"testing"
)

// What strict readers stumble over in an event is no reason to take it for a
// dead letter, or to change it.
func TestStrangeBytesPass(t *testing.T) {
	for name, text := range map[string]string{
		"bytes that are not UTF-8": "\xff\xfe", "a zero": `\u0000`, "half a surrogate pair": `\ud800`, "an integer above 2^53": "9007199254740993",
	} {
		element := `{"id":9007199254740993,"created_at":"2026-11-22T07:08:52.209Z","event_type_id":5,"notes":"` + text + `"}`
		p, _, err := decodePage([]byte(`{"data":[` + element + `],"pagination":{}}`))
		if err != nil || len(p.Events) != 1 || len(p.Malformed) != 0 {
			t.Errorf("%s: got %d events, %d malformed, error %v", name, len(p.Events), len(p.Malformed), err)
			continue
		}
		if !bytes.Equal(p.Events[0].Raw, []byte(element)) || p.Events[0].ID != 9007199254740993 {
			t.Errorf("%s: got %q, id %d", name, p.Events[0].Raw, p.Events[0].ID)
		}
	}
}
