package registry

import (
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// BenchmarkStart is what a control log of 10,000 connectors adds to the start of
// an instance: it is read to its end and each secret is opened.
func BenchmarkStart(b *testing.B) {
	const connectors, each = 10_000, 500
	g := newRig(b)
	key := newKey(b)
	ring := seal.NewRing(key)
	writer := g.open(b, ring)
	for from := 0; from < connectors; from += each {
		if err := writer.Write(patient(b), func(map[string][]byte) ([]schemas.Record, error) {
			var records []schemas.Record
			for i := from; i < from+each; i++ {
				d := draft(fmt.Sprintf("tenant-%05d", i))
				c := schemas.Connector{Name: d.Name, Type: "onelogin", Domain: d.Name + ".onelogin.com", ClientID: d.ClientID, Generation: 1, UpdatedAt: time.Now(), Settings: d.Settings}
				c.Secret.Generation, c.Secret.SealedAt = 1, time.Now()
				sealed, err := key.Public().Seal(d.Secret, writer.bound(c))
				if err != nil {
					return nil, err
				}
				c.Secret.Sealed = sealed
				records = append(records, schemas.Record{Topic: schemas.Connectors, Key: []byte(c.Name), Value: c.Marshal()})
			}
			return records, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		r := g.open(b, ring)
		if err := r.Read(patient(b)); err != nil {
			b.Fatal(err)
		}
		if good, aside := r.Configured(); len(good) != connectors || len(aside) != 0 {
			b.Fatalf("%d connectors, %d set aside: %v", len(good), len(aside), aside[0].Reason())
		}
	}
}
