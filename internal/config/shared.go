package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"slices"

	"onelogin-kafka/schemas"
)

// Shared is over what is to be the same on all instances of a deployment: what
// is written to Kafka and how, and which connectors are polled with which
// secrets. It leaves out what is an instance's own: its name, its listener, its
// log, its memory, its way to Kafka, and where its files are. Instances of
// different versions may differ in it.
func (c *Config) Shared() [32]byte {
	h := summer{sha256.New()}
	h.value(struct {
		Group       string
		Topics      Topics
		Key         schemas.KeyStrategy
		Value       string
		Commit      int64
		Compression string
		Proxy       Proxy
	}{c.Group, c.Topics, c.Key, c.Value, int64(c.CommitInterval), c.Compression, c.Proxy})
	h.text(c.Authorities)
	h.secret(c.Proxy.Password)
	for _, k := range c.Secrets.Keys {
		h.value(k)
		h.secret(k.PrivateKey)
	}
	connectors := slices.Clone(c.Connectors)
	slices.SortFunc(connectors, func(a, b Connector) int { return cmp.Compare(a.Name, b.Name) })
	for _, cc := range connectors {
		h.value(cc)
		h.secret(cc.ClientSecret)
		h.secret(cc.Proxy.Password)
	}
	var aside []string
	for _, s := range c.SetAside {
		aside = append(aside, s.Name)
	}
	slices.Sort(aside)
	h.value(aside)
	return [32]byte(h.Sum(nil))
}

// summer takes one value after the other into a checksum, none of which can be
// taken for another.
type summer struct{ hash.Hash }

func (h summer) text(b []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

// value takes what v is in JSON, where secrets are only said to be there.
func (h summer) value(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a configuration has no JSON form: %v", err)) // it has one by its types
	}
	h.text(text)
}

func (h summer) secret(s Secret) {
	text, err := s.Reveal()
	if err != nil {
		text = "\x00" // no secret's text
	}
	h.text([]byte(text))
}
