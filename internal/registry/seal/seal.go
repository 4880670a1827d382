// Package seal keeps client secrets closed on the control log: HPKE (RFC 9180)
// with the hybrid KEM MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM. A secret is
// bound to where it is used and for what: changed in any of that, or moved, it
// does not open. There is no path by which a secret that cannot be sealed, or
// opened, comes out as something else than an error.
package seal

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Errors of opening. Their texts hold nothing of what was sealed.
var (
	// ErrForm: it is not "ok1.<key id>.<base64url>".
	ErrForm = errors.New("is no sealed secret of a form that this version knows")
	// ErrNoKey: it was sealed for a key that is not among ours.
	ErrNoKey = errors.New("is sealed, and no key of secrets.keys here opens it")
	// ErrBound: it was sealed for something else, or altered.
	ErrBound = errors.New("was sealed for another domain, client id or connector, or altered; enter the client secret again")
)

const (
	form = "ok1."
	// infoPrefix begins what a secret is bound to, so that no other use of the key
	// can be taken for ours.
	infoPrefix = "onelogin-kafka secret 1"
)

// MaxSecret is the most bytes of a secret.
const MaxSecret = 64 << 10

// Bound is what a secret is sealed for.
type Bound struct {
	// Topic is the name of the control log.
	Topic     string
	Connector string
	// Field is what the secret is, e.g. "client_secret".
	Field    string
	Type     string
	Domain   string
	BaseURL  string
	ClientID string
	// Generation is the secret's own.
	Generation int64
}

// info is b as bytes: each part with its length before it, so that no two
// bounds are the same.
func (b Bound) info() []byte {
	var info []byte
	for _, part := range []string{infoPrefix, b.Topic, b.Connector, b.Field, b.Type, b.Domain, b.BaseURL, b.ClientID} {
		info = binary.BigEndian.AppendUint32(info, uint32(len(part)))
		info = append(info, part...)
	}
	return binary.BigEndian.AppendUint64(info, uint64(b.Generation))
}

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

// PublicKey seals.
type PublicKey struct {
	id  string
	key hpke.PublicKey
}

// NewPublicKey reads what Bytes returned.
func NewPublicKey(b []byte) (PublicKey, error) {
	key, err := kem().NewPublicKey(b)
	if err != nil {
		return PublicKey{}, fmt.Errorf("reading public key: %w", err)
	}
	return publicKey(key), nil
}

func publicKey(key hpke.PublicKey) PublicKey {
	sum := sha256.Sum256(key.Bytes())
	return PublicKey{hex.EncodeToString(sum[:8]), key}
}

// ID is the key id: the first 8 bytes of the SHA-256 of the key, in hexadecimal.
func (k PublicKey) ID() string { return k.id }

// Bytes is the key in its KEM's encoding.
func (k PublicKey) Bytes() []byte { return k.key.Bytes() }

// Seal closes a secret for whoever has the private key.
func (k PublicKey) Seal(secret string, bound Bound) (string, error) {
	switch {
	case k.key == nil:
		return "", fmt.Errorf("sealing: %w", ErrNoKey)
	case secret == "" || len(secret) > MaxSecret:
		return "", fmt.Errorf("sealing: a secret of %d bytes; it must have 1 to %d", len(secret), MaxSecret)
	}
	box, err := hpke.Seal(k.key, hpke.HKDFSHA256(), hpke.AES256GCM(), bound.info(), []byte(secret))
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return form + k.id + "." + base64.RawURLEncoding.EncodeToString(box), nil
}

// split takes a sealed secret apart.
func split(sealed string) (id string, box []byte, err error) {
	rest, ok := strings.CutPrefix(sealed, form)
	if !ok {
		return "", nil, ErrForm
	}
	id, text, ok := strings.Cut(rest, ".")
	if raw, err := hex.DecodeString(id); !ok || err != nil || len(raw) != 8 || hex.EncodeToString(raw) != id {
		return "", nil, ErrForm
	}
	// Strict: a text that differs is another text, whatever bytes it stands for.
	if box, err = base64.RawURLEncoding.Strict().DecodeString(text); err != nil {
		return "", nil, ErrForm
	}
	return id, box, nil
}

// KeyID returns the id of the key that a secret was sealed for.
func KeyID(sealed string) (string, error) {
	id, _, err := split(sealed)
	return id, err
}

// Ring is the private keys that an instance has; the zero Ring has none.
type Ring struct {
	keys   map[string]PrivateKey
	active PrivateKey
}

// NewRing returns a ring of keys; active is the one that new secrets are sealed
// with, and may be the zero key.
func NewRing(active PrivateKey, keys ...PrivateKey) *Ring {
	r := &Ring{keys: map[string]PrivateKey{}, active: active}
	for _, k := range append(keys, active) {
		if k.key != nil {
			r.keys[k.Public().ID()] = k
		}
	}
	return r
}

// Active is the public key that new secrets are sealed with; false without one.
func (r *Ring) Active() (PublicKey, bool) {
	if r == nil || r.active.key == nil {
		return PublicKey{}, false
	}
	return r.active.Public(), true
}

// Has tells whether the ring has a key.
func (r *Ring) Has(id string) bool {
	if r == nil {
		return false
	}
	_, ok := r.keys[id]
	return ok
}

// IDs are the ids of the keys, in order.
func (r *Ring) IDs() []string {
	if r == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(r.keys))
}

// Keeping returns the ring with another's key as well, which opens and does not
// seal.
func (r *Ring) Keeping(other *Ring, id string) *Ring {
	kept := NewRing(r.active, slices.Collect(maps.Values(r.keys))...)
	if other.Has(id) {
		kept.keys[id] = other.keys[id]
	}
	return kept
}

// Open returns the secret. The error is ErrForm, ErrNoKey or ErrBound.
func (r *Ring) Open(sealed string, bound Bound) (string, error) {
	id, box, err := split(sealed)
	if err != nil {
		return "", err
	}
	if !r.Has(id) {
		return "", fmt.Errorf("%w (its key is %s)", ErrNoKey, id)
	}
	secret, err := hpke.Open(r.keys[id].key, hpke.HKDFSHA256(), hpke.AES256GCM(), bound.info(), box)
	if err != nil || len(secret) == 0 {
		return "", ErrBound // why is nobody's business: it tells an attacker more than us
	}
	return string(secret), nil
}
