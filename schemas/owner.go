package schemas

import (
	"encoding/json"
	"fmt"
	"time"
)

// OwnerKey is the key of an Owner on the offsets topic. No connector's name
// begins with an underscore.
const OwnerKey = "_owner"

// OwnerVersion is the format version of an Owner.
const OwnerVersion = 1

// Owner says whose an offsets topic is and how many partitions it has: the value
// of the key "_owner", of which every partition of the topic has its own.
type Owner struct {
	// Version is OwnerVersion; Marshal writes it whatever it is here.
	Version int
	// Group is the group of the deployment that writes the topic.
	Group string
	// Partitions is the number of partitions by which connectors were given to
	// them, 1 or more.
	Partitions int32
	// Since is when the value was written.
	Since time.Time
}

// wireOwner is Owner as JSON; pointers tell a missing field from a zero one.
type wireOwner struct {
	Version    int        `json:"version"`
	Group      *string    `json:"group"`
	Partitions *int32     `json:"partitions"`
	Since      *time.Time `json:"since"`
}

// Marshal returns o as JSON.
func (o Owner) Marshal() []byte {
	since := wireTime(o.Since)
	return marshal(wireOwner{Version: OwnerVersion, Group: &o.Group, Partitions: &o.Partitions, Since: &since})
}

// ParseOwner reads what Marshal wrote. Fields it does not know are ignored. The
// error wraps ErrVersion for an unknown version.
func ParseOwner(value []byte) (Owner, error) {
	if err := checkVersion(value, OwnerVersion); err != nil {
		return Owner{}, fmt.Errorf("parsing owner: %w", err)
	}
	var w wireOwner
	if err := json.Unmarshal(value, &w); err != nil {
		return Owner{}, fmt.Errorf("parsing owner: %w", err)
	}
	if err := required(field{"group", w.Group == nil}, field{"partitions", w.Partitions == nil}, field{"since", w.Since == nil}); err != nil {
		return Owner{}, fmt.Errorf("parsing owner: %w", err)
	}
	if *w.Group == "" || *w.Partitions < 1 {
		return Owner{}, fmt.Errorf("parsing owner: group %.100q of %d partitions", *w.Group, *w.Partitions)
	}
	return Owner{Version: w.Version, Group: *w.Group, Partitions: *w.Partitions, Since: timeOf(w.Since)}, nil
}
