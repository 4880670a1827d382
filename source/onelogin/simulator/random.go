package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// mix is the output function of splitmix64: a good 64-bit hash of x.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is the random value of number i in the stream of seed.
func hash(seed uint64, i int64) uint64 { return mix(seed + uint64(i)*0x9e3779b97f4a7c15) }

// sub is an independent random value made from h.
func sub(h uint64, salt uint64) uint64 { return mix(h + salt*0xd1b54a32d192ed03) }

// unit maps h to [0,1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// The salts of the things that are drawn for an event or a group of events.
const (
	saltID = iota + 1
	saltTie
	saltJitter
	saltLate
	saltLateBy
	saltUnknownField
	saltUnknownType
	saltNulls
	saltSpaced
	saltLarge
	saltProfile
	saltType
	saltUser
	saltActor
	saltBody
	saltSequence
	saltBackdated
	saltBackdatedBy
	saltBroken
)

func nameSeed(seed uint64, name string) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(name)) // never fails
	return mix(seed ^ f.Sum64())
}

// derive makes 64 hexadecimal digits, the form of OneLogin's client ids and
// secrets.
func derive(seed uint64, parts ...string) string {
	sum := sha256.Sum256([]byte(strconv.FormatUint(seed, 10) + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
