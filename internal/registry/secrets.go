package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// sealer seals the secrets of one transaction.
type sealer struct {
	registry *Registry
	known    map[string][]byte

	key  seal.PublicKey // once it was looked for
	used bool
}

// secret is what after's secret will be: the draft's, or the one that was there.
// used is the generation that was last used for it.
func (s *sealer) secret(d Draft, before *schemas.Connector, after schemas.Connector, used int64, now time.Time) (schemas.SealedSecret, error) {
	least := used
	if before != nil {
		least = max(least, before.Secret.Generation)
	}
	switch {
	case d.Secret != "":
		after.Secret = schemas.SealedSecret{Generation: least + 1, SealedAt: now}
		return s.seal(d.Secret, after)
	case d.Sealed != nil:
		return *d.Sealed, s.accept(*d.Sealed, before, after, used)
	case before == nil || s.registry.bound(*before) != s.registry.bound(withSecret(after, before.Secret)):
		return schemas.SealedSecret{}, ErrSecret
	}
	return before.Secret, nil
}

func withSecret(c schemas.Connector, secret schemas.SealedSecret) schemas.Connector {
	c.Secret = secret
	return c
}

// seal closes a secret for c, whose secret has its generation already.
func (s *sealer) seal(secret string, c schemas.Connector) (schemas.SealedSecret, error) {
	if !s.used {
		key, err := s.registry.sealingKey(s.known)
		if err != nil {
			return schemas.SealedSecret{}, err
		}
		s.key, s.used = key, true
	}
	text, err := s.key.Seal(secret, s.registry.bound(c))
	c.Secret.Sealed = text
	return c.Secret, err
}

// accept judges a secret that was sealed elsewhere. Where we have its key it must
// open; where not, the owner of its shard will see.
func (s *sealer) accept(sealed schemas.SealedSecret, before *schemas.Connector, after schemas.Connector, used int64) error {
	id, err := seal.KeyID(sealed.Sealed)
	if err != nil {
		return fmt.Errorf("its client secret %w", err)
	}
	if sealed.Generation < max(used, 1) || before != nil && sealed.Generation < before.Secret.Generation {
		return fmt.Errorf("its client secret is of generation %d, and a later one was in use: %w", sealed.Generation, ErrSecret)
	}
	if ring := s.registry.Ring(); ring.Has(id) {
		if _, err := ring.Open(sealed.Sealed, s.registry.bound(withSecret(after, sealed))); err != nil {
			return fmt.Errorf("its client secret %w", err)
		}
	}
	return nil
}

// published are the records that make the key known that was sealed with, where
// the log does not have it as the active one.
func (s *sealer) published(now time.Time) []schemas.Record {
	if !s.used {
		return nil
	}
	return publish(s.known, s.key, now)
}

// publish are the records that make a key the active one; none if it is.
func publish(known map[string][]byte, key seal.PublicKey, now time.Time) []schemas.Record {
	var records []schemas.Record
	put := func(k schemas.SealingKey) {
		name := schemas.ControlKey{Kind: schemas.ControlSealing, ID: k.ID}
		records = append(records, schemas.Record{Topic: schemas.Connectors, Key: []byte(name.String()), Value: k.Marshal(), Time: now})
	}
	all := sealingKeys(known)
	own, ok := all[key.ID()]
	if !ok {
		own = schemas.SealingKey{ID: key.ID(), Public: key.Bytes(), Since: now}
	}
	if !own.Active {
		own.Active = true
		put(own)
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if k := all[id]; k.Active && id != own.ID {
			k.Active = false
			put(k)
		}
	}
	return records
}

// readSealing parses the public key under an id. Who may write the log must not
// have us seal for a key of another id.
func readSealing(id string, value []byte) (schemas.SealingKey, error) {
	k, err := schemas.ParseSealingKey(value)
	if err != nil {
		return k, err
	}
	key, err := seal.NewPublicKey(k.Public)
	if err == nil && (key.ID() != id || k.ID != id) {
		err = errors.New("the key does not have that id")
	}
	return k, err
}

func sealingKeys(known map[string][]byte) map[string]schemas.SealingKey {
	all := map[string]schemas.SealingKey{}
	for text, value := range known {
		key, err := schemas.ParseControlKey([]byte(text))
		if err != nil || key.Kind != schemas.ControlSealing {
			continue
		}
		if k, err := readSealing(key.ID, value); err == nil {
			all[k.ID] = k
		}
	}
	return all
}

// sealingKey is the key that new secrets are sealed with: our own active one, or
// else the log's.
func (r *Registry) sealingKey(known map[string][]byte) (seal.PublicKey, error) {
	if key, ok := r.Ring().Active(); ok {
		return key, nil
	}
	active := slices.DeleteFunc(slices.Collect(maps.Values(sealingKeys(known))), func(k schemas.SealingKey) bool { return !k.Active })
	if len(active) == 0 {
		return seal.PublicKey{}, ErrSealingKey
	}
	newest := slices.MaxFunc(active, func(a, b schemas.SealingKey) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return seal.NewPublicKey(newest.Public)
}

// Publish makes our active public key the one that the log names, if it is not:
// whoever seals needs no private key then.
func (r *Registry) Publish(ctx context.Context, who Who) error {
	key, ok := r.Ring().Active()
	if !ok {
		return nil
	}
	return r.Write(ctx, func(known map[string][]byte) ([]schemas.Record, error) {
		now := time.Now().UTC()
		records := publish(known, key, now)
		if len(records) == 0 {
			return nil, nil
		}
		entry := who.Entry("secrets.activate", now)
		entry.After = fmt.Appendf(nil, `{"key_id":%q}`, key.ID())
		return append(records, entry.Record()), nil
	})
}

// Seal closes a client secret for a draft as Put would, and returns what a record
// of the draft would hold: for files that are imported later, elsewhere. The log
// must have been read.
func (r *Registry) Seal(ctx context.Context, d Draft) (schemas.SealedSecret, error) {
	d, err := r.Check(d)
	if err != nil {
		return schemas.SealedSecret{}, err
	}
	used, err := r.lastUsed(ctx, []Change{{Draft: d}})
	if err != nil {
		return schemas.SealedSecret{}, err
	}
	known := map[string][]byte{}
	for _, k := range r.Keys() {
		known[schemas.ControlKey{Kind: schemas.ControlSealing, ID: k.ID}.String()] = k.Marshal()
	}
	s := sealer{registry: r, known: known}
	var before *schemas.Connector
	if c, err := r.Get(d.Name); err == nil {
		before = &c
	}
	after := schemas.Connector{Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL}
	return s.secret(d, before, after, used[d.Name], time.Now().UTC())
}

// Reseal closes secrets again with the active key that were sealed for another
// one: each for what it was sealed for, under its own generation. It returns how
// many it has changed, and why others could not be opened, by name. A connector
// that somebody changes meanwhile is left for the next time.
func (r *Registry) Reseal(ctx context.Context, who Who) (changed int, failed map[string]error, err error) {
	key, ok := r.Ring().Active()
	if !ok {
		return 0, nil, ErrSealingKey
	}
	if err := r.Publish(ctx, who); err != nil {
		return 0, nil, err
	}
	failed = r.Broken()
	var old []schemas.Connector
	for _, c := range r.List() {
		if c.Secret.KeyID() != key.ID() {
			old = append(old, c)
		}
	}
	for some := range slices.Chunk(old, batch) {
		n := 0
		err := r.Write(ctx, func(known map[string][]byte) (records []schemas.Record, err error) {
			n = 0
			for _, c := range some {
				more, err := r.reseal(known, c, key, who)
				if err != nil {
					failed[c.Name] = err
				}
				n += min(len(more), 1)
				records = append(records, more...)
			}
			return records, nil
		})
		if err != nil {
			return changed, failed, err
		}
		changed += n
	}
	return changed, failed, nil
}

func (r *Registry) reseal(known map[string][]byte, c schemas.Connector, key seal.PublicKey, who Who) ([]schemas.Record, error) {
	before, err := existing(known, c.Name, c.Generation)
	if err != nil {
		return nil, err
	}
	secret, err := r.Open(*before)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	after := *before
	if after.Secret.Sealed, err = key.Seal(secret, r.bound(after)); err != nil {
		return nil, err
	}
	after.Secret.SealedAt = now
	after.Generation, after.UpdatedAt, after.UpdatedBy = before.Generation+1, now, who.By
	return written(&after, before, "secrets.rotate", who, now), nil
}

// lastUsed is the generation of the secret that was last used for each connector
// whose secret is to change, as its position says; a record with an older one is
// refused by the owner of its shard.
func (r *Registry) lastUsed(ctx context.Context, changes []Change) (map[string]int64, error) {
	topic := r.opts.Topics.Specs[schemas.Offsets].Name
	used, shards := map[string]int64{}, map[int32]map[string]bool{}
	for _, ch := range changes {
		if ch.Draft.Secret == "" && ch.Draft.Sealed == nil {
			continue
		}
		n, err := r.opts.Cluster.Partitions(ctx, topic)
		if err != nil {
			return nil, err
		}
		shard := producer.PartitionFor(schemas.OffsetKey(ch.Draft.Name), n)
		if shards[shard] == nil {
			shards[shard] = map[string]bool{}
		}
		shards[shard][ch.Draft.Name] = true
	}
	for shard, names := range shards {
		log := producer.CommittedLog{Cluster: r.opts.Cluster, Topic: topic, Partition: shard}
		_, err := log.Read(ctx, func(_ int64, rec *schemas.Record) error {
			if !names[string(rec.Key)] {
				return nil
			}
			// What cannot be read is for the owner of the shard to judge, and gone with
			// a tombstone.
			o, _ := schemas.ParseOffset(rec.Value)
			used[string(rec.Key)] = o.SecretGeneration
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading which secret was last used: %w", err)
		}
	}
	return used, nil
}
