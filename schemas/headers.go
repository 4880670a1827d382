package schemas

import (
	"fmt"
	"strconv"
)

// The headers of a record, all UTF-8 text. Those of an event follow the binary
// mode of CloudEvents 1.0 for Kafka.
const (
	HeaderSpecVersion = "ce_specversion"      // "1.0"
	HeaderID          = "ce_id"               // the event's id, decimal
	HeaderSource      = "ce_source"           // "https://<domain>/api/1/events"
	HeaderType        = "ce_type"             // "com.onelogin.event.<event_type_id>"
	HeaderTime        = "ce_time"             // created_at as sent
	HeaderContentType = "content-type"        // "application/json"
	HeaderTenant      = "tenant"              // the connector's name
	HeaderAccountID   = "onelogin_account_id" // account_id; absent if unknown
	HeaderEventType   = "onelogin_event_type" // the type's name; absent if unknown
	HeaderLate        = "late"                // "true" on a late event, else absent
	HeaderReason      = "reason"              // dead letters only: what is wrong
)

// maxEventHeaders is the most headers an event has.
const maxEventHeaders = 10

const ceTypePrefix = "com.onelogin.event."

// Values that are the same for every event. They are shared by all records.
var (
	specVersion = []byte("1.0")
	contentType = []byte("application/json")
	trueText    = []byte("true")
)

// KeyStrategy says what the key of an event's record is made of. Events with
// the same key are in one partition, in the order in which they were published.
type KeyStrategy uint8

// The key strategies.
const (
	// KeyTenant: the connector's name.
	KeyTenant KeyStrategy = iota
	// KeyUser: "<connector>:<user_id>", or the name where there is no user.
	KeyUser
	// KeyEvent: "<connector>:<id>".
	KeyEvent
)

var keyStrategies = [...]string{"tenant", "user", "event"}

// String returns the strategy as the configuration file names it.
func (k KeyStrategy) String() string {
	if int(k) < len(keyStrategies) {
		return keyStrategies[k]
	}
	return "unknown"
}

// ParseKeyStrategy reads "tenant", "user" or "event".
func ParseKeyStrategy(s string) (KeyStrategy, error) {
	for i, name := range keyStrategies {
		if s == name {
			return KeyStrategy(i), nil
		}
	}
	return 0, fmt.Errorf("parsing key strategy %.40q: want tenant, user or event", s)
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
