package schemas

import "time"

// Event is one audit event as the API sent it, with the few fields that decide
// where it goes. All byte slices point into the answer's body and must not be
// changed.
type Event struct {
	// Raw is the exact slice of the answer: the record value.
	Raw []byte
	// ID is the event's id, unique within the account.
	ID int64
	// CreatedAt is created_at, in UTC, with its full precision.
	CreatedAt time.Time
	// CreatedAtText is created_at as sent.
	CreatedAtText []byte
	// AccountID is account_id; 0 where it is missing or not an integer.
	AccountID int64
	// TypeID is event_type_id; 0 where it is missing or not an integer.
	TypeID int64
	// UserID is the text of user_id (an integer); nil where there is none.
	UserID []byte
}
