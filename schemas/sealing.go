package schemas

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// SealingVersion is the format version of a SealingKey.
const SealingVersion = 1

// SealingKey is a public key that secrets are sealed with: the value of the key
// "_sealing/<key id>" on the control log.
type SealingKey struct {
	// ID is the key id, 16 hexadecimal digits.
	ID string
	// Public is the key's encoding of its KEM.
	Public []byte
	// Active tells that new secrets are sealed with it.
	Active bool
	// Since is when it was first written.
	Since time.Time
}

type wireSealing struct {
	Version int        `json:"version"`
	ID      string     `json:"key_id"`
	Public  string     `json:"public_key"`
	Active  bool       `json:"active"`
	Since   *time.Time `json:"since"`
}

// Marshal returns k as JSON.
func (k SealingKey) Marshal() []byte {
	since := wireTime(k.Since)
	return marshal(wireSealing{SealingVersion, k.ID, base64.RawURLEncoding.EncodeToString(k.Public), k.Active, &since})
}

// ParseSealingKey reads what Marshal wrote. The error wraps ErrVersion for an
// unknown version.
func ParseSealingKey(value []byte) (SealingKey, error) {
	if err := checkVersion(value, SealingVersion); err != nil {
		return SealingKey{}, fmt.Errorf("parsing sealing key: %w", err)
	}
	var w wireSealing
	if err := json.Unmarshal(value, &w); err != nil {
		return SealingKey{}, fmt.Errorf("parsing sealing key: %w", err)
	}
	if err := required(field{"key_id", !validID(w.ID)}, field{"public_key", w.Public == ""}, field{"since", w.Since == nil}); err != nil {
		return SealingKey{}, fmt.Errorf("parsing sealing key: %w", err)
	}
	public, err := base64.RawURLEncoding.Strict().DecodeString(w.Public)
	if err != nil {
		return SealingKey{}, fmt.Errorf("parsing sealing key: public_key: %w", err)
	}
	return SealingKey{ID: w.ID, Public: public, Active: w.Active, Since: timeOf(w.Since)}, nil
}

// BellVersion is the format version of a Bell.
const BellVersion = 1

// Bell has the owner of a connector look at its shard: the value of the key
// "<connector>/bell" on the control log.
type Bell struct {
	At time.Time
	// By is who rang.
	By string
}

type wireBell struct {
	Version int        `json:"version"`
	At      *time.Time `json:"at"`
	By      string     `json:"by"`
}

// Marshal returns b as JSON.
func (b Bell) Marshal() []byte {
	at := wireTime(b.At)
	return marshal(wireBell{BellVersion, &at, b.By})
}

// ParseBell reads what Marshal wrote. The error wraps ErrVersion for an unknown
// version.
func ParseBell(value []byte) (Bell, error) {
	if err := checkVersion(value, BellVersion); err != nil {
		return Bell{}, fmt.Errorf("parsing bell: %w", err)
	}
	var w wireBell
	if err := json.Unmarshal(value, &w); err != nil {
		return Bell{}, fmt.Errorf("parsing bell: %w", err)
	}
	if err := required(field{"at", w.At == nil}); err != nil {
		return Bell{}, fmt.Errorf("parsing bell: %w", err)
	}
	return Bell{At: timeOf(w.At), By: w.By}, nil
}
