package seal

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
)

// A private key is a seed of 32 bytes, in a text that people and tools can tell
// from others: prefix, seed and the first 4 bytes of a SHA-256 over both, in
// base32.
const (
	keyPrefix = "OLK-SECRET-KEY-1-"
	seedLen   = 32
	sumLen    = 4
)

// ErrKeyForm is returned for a text that is no private key, or mistyped.
var ErrKeyForm = errors.New("is no private key as onelogin-kafka secrets keygen makes them, or not whole")

var keyText = base32.StdEncoding.WithPadding(base32.NoPadding)

// PrivateKey opens. It prints as nothing that could be used.
type PrivateKey struct{ key hpke.PrivateKey }

// Public is the key's other half.
func (k PrivateKey) Public() PublicKey { return publicKey(k.key.PublicKey()) }

// String implements fmt.Stringer.
func (k PrivateKey) String() string { return "<private key>" }

// GoString implements fmt.GoStringer.
func (k PrivateKey) GoString() string { return k.String() }

// GenerateKey returns a new private key as text, to be kept in a file that only
// the service can read.
func GenerateKey() (string, error) {
	seed := make([]byte, seedLen)
	if _, err := rand.Read(seed); err != nil {
		return "", err
	}
	return keyPrefix + keyText.EncodeToString(slices.Concat(seed, checksum(seed))), nil
}

func checksum(seed []byte) []byte {
	sum := sha256.Sum256(append([]byte(keyPrefix), seed...))
	return sum[:sumLen]
}

// ParsePrivateKey reads what GenerateKey returned. The error is ErrKeyForm, and
// holds nothing of text.
func ParsePrivateKey(text string) (PrivateKey, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	if !ok {
		return PrivateKey{}, ErrKeyForm
	}
	raw, err := keyText.DecodeString(encoded)
	if err != nil || len(raw) != seedLen+sumLen || keyText.EncodeToString(raw) != encoded {
		return PrivateKey{}, ErrKeyForm
	}
	seed := raw[:seedLen]
	if subtle.ConstantTimeCompare(checksum(seed), raw[seedLen:]) != 1 {
		return PrivateKey{}, ErrKeyForm
	}
	key, err := kem().NewPrivateKey(seed)
	if err != nil {
		return PrivateKey{}, ErrKeyForm
	}
	return PrivateKey{key}, nil
}
