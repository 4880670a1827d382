package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// Who makes a change, and why: it is what the audit topic says of it.
type Who struct {
	// By is the person or the account, as far as the surface can tell.
	By string
	// Via is that surface: command, console, api, service.
	Via    string
	Reason string
}

// Entry is what the audit topic says of an action that is of no shard, less what
// was changed.
func (w Who) Entry(action string, now time.Time) schemas.AuditEntry {
	return schemas.AuditEntry{At: now, By: w.By, Via: w.Via, Action: action, Shard: -1, Reason: w.Reason}
}

// Draft is a connector as somebody wants it.
type Draft struct {
	Name, Type, Domain, ClientID, BaseURL string
	// Secret is the client secret in the clear; empty = the one that is there.
	Secret string
	// Sealed is a secret that was sealed elsewhere, instead of Secret; nil = none.
	Sealed *schemas.SealedSecret
	Paused bool
	// Settings are all other fields, as in a connector's file.
	Settings map[string]json.RawMessage
}

// DraftOf is a connector as it is, to be changed.
func DraftOf(c schemas.Connector) Draft {
	return Draft{Name: c.Name, Type: c.Type, Domain: c.Domain, ClientID: c.ClientID, BaseURL: c.BaseURL, Paused: c.Paused, Settings: c.Settings}
}

// Change is a connector to be put, and the generation that whoever wants it has
// seen: 0 = there was none.
type Change struct {
	Draft      Draft
	Generation int64
}

// ConflictError says that a connector is not as whoever changes it has seen it.
type ConflictError struct {
	Name string
	// Seen is the generation that was seen, Generation that which is there; 0 =
	// none.
	Seen, Generation int64
	By               string
	At               time.Time
}

// Error implements error.
func (e *ConflictError) Error() string {
	switch {
	case e.Generation == 0:
		return fmt.Sprintf("connector %s was removed meanwhile; look again", e.Name)
	case e.Seen == 0:
		return fmt.Sprintf("connector %s is there already, by %s at %s; edit it instead", e.Name, e.By, e.At.Format(time.RFC3339))
	}
	return fmt.Sprintf("connector %s was changed meanwhile by %s at %s; look again", e.Name, e.By, e.At.Format(time.RFC3339))
}

// ErrSecret is returned (wrapped) for a connector without a secret, or whose
// domain, base URL, client id or type is another than its secret was entered for.
var ErrSecret = errors.New("enter the client secret: one that was saved opens for the same domain, base_url, client_id and type only")

// ErrSealingKey is returned (wrapped) when there is no public key to seal with.
var ErrSealingKey = errors.New("there is no key to seal the client secret with; make one: onelogin-kafka secrets keygen")

// batch is how many connectors one transaction changes at most.
const batch = 200

// Put makes or changes a connector, and returns it as it is now. The error is a
// *ConflictError, config.Problems for what is wrong with the draft, ErrSecret or
// ErrSealingKey (wrapped), or Kafka's.
func (r *Registry) Put(ctx context.Context, d Draft, generation int64, who Who) (schemas.Connector, error) {
	put, err := r.PutAll(ctx, []Change{{d, generation}}, who)
	if err != nil {
		return schemas.Connector{}, err
	}
	return put[0], nil
}

// PutAll puts many connectors, some at a time: what is in one transaction is put
// together or not at all. With an error it returns those that were put before.
func (r *Registry) PutAll(ctx context.Context, changes []Change, who Who) ([]schemas.Connector, error) {
	for i := range changes {
		d, err := r.Check(changes[i].Draft)
		if err != nil {
			return nil, err
		}
		changes[i].Draft = d
	}
	used, err := r.lastUsed(ctx, changes)
	if err != nil {
		return nil, err
	}
	var done []schemas.Connector
	for len(changes) > 0 {
		some := changes[:min(batch, len(changes))]
		changes = changes[len(some):]
		var put []schemas.Connector
		err := r.Write(ctx, func(known map[string][]byte) (records []schemas.Record, err error) {
			put, records, err = r.decide(known, some, used, who)
			return records, err
		})
		if err != nil {
			return done, err
		}
		done = append(done, put...)
	}
	return done, nil
}

// Check returns a draft with its addresses in their normal form, or
// config.Problems with what is wrong with it. It writes nothing.
func (r *Registry) Check(d Draft) (Draft, error) {
	if d.Type == "" {
		d.Type = config.TypeOneLogin
	}
	// A draft without a new secret has one, so that all else is judged.
	secret := d.Secret
	if secret == "" {
		secret = "unknown"
	}
	c, problems := config.Recorded(schemas.Connector{
		Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Settings: d.Settings,
	}, r.place(d.Name), func() (string, error) { return secret, nil })
	if len(problems) > 0 {
		return d, problems
	}
	d.Domain, d.BaseURL = c.Domain, c.BaseURL
	return d, nil
}

// place is how problems with a connector of the log name it.
func (r *Registry) place(name string) string {
	if !schemas.ValidConnector(name) {
		return r.Topic()
	}
	return r.Topic() + "/" + name
}

// decide returns the connectors as they will be, and the records that make them
// so.
func (r *Registry) decide(known map[string][]byte, changes []Change, used map[string]int64, who Who) (put []schemas.Connector, records []schemas.Record, err error) {
	now := time.Now().UTC()
	s := sealer{registry: r, known: known}
	for _, ch := range changes {
		before, err := seen(known, ch.Draft.Name, ch.Generation)
		if err != nil {
			return nil, nil, err
		}
		d := ch.Draft
		after := schemas.Connector{
			Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Paused: d.Paused, Settings: d.Settings,
			Generation: ch.Generation + 1, UpdatedAt: now, UpdatedBy: who.By,
		}
		if after.Secret, err = s.secret(d, before, after, used[d.Name], now); err != nil {
			return nil, nil, fmt.Errorf("connector %s: %w", d.Name, err)
		}
		action := "connector.edit"
		if before == nil {
			action = "connector.add"
		}
		put = append(put, after)
		records = append(records, written(&after, before, action, who, now)...)
	}
	return put, append(s.published(now), records...), nil
}

// seen returns a connector as it is, nil if there is none, or a *ConflictError.
func seen(known map[string][]byte, name string, generation int64) (*schemas.Connector, error) {
	value := known[name]
	if value == nil {
		if generation != 0 {
			return nil, &ConflictError{Name: name, Seen: generation}
		}
		return nil, nil
	}
	c, err := readConnector(name, value)
	if err != nil {
		// A version that we do not know is not ours to replace.
		return nil, fmt.Errorf("connector %s: %w", name, err)
	}
	if c.Generation != generation {
		return nil, &ConflictError{Name: name, Seen: generation, Generation: c.Generation, By: c.UpdatedBy, At: c.UpdatedAt}
	}
	return &c, nil
}

// written are the records of one change. after is nil for a removal.
func written(after, before *schemas.Connector, action string, who Who, now time.Time) []schemas.Record {
	entry := who.Entry(action, now)
	r := schemas.Record{Topic: schemas.Connectors, Time: now}
	if before != nil {
		entry.Connector, entry.Before = before.Name, before.Shown()
	}
	if after != nil {
		entry.Connector, entry.After, entry.Generation = after.Name, after.Shown(), after.Generation
		r.Value = after.Marshal()
	}
	r.Key = []byte(entry.Connector)
	return []schemas.Record{r, entry.Record()}
}

// Pause pauses a connector or has it go on. No key is needed for it. The error is
// a *ConflictError, or wraps ErrNotFound.
func (r *Registry) Pause(ctx context.Context, name string, paused bool, generation int64, who Who) (schemas.Connector, error) {
	action := "connector.pause"
	if !paused {
		action = "connector.resume"
	}
	return r.edit(ctx, name, generation, action, who, func(c *schemas.Connector) { c.Paused = paused })
}

// edit changes a connector in what its secret is not bound to.
func (r *Registry) edit(ctx context.Context, name string, generation int64, action string, who Who, change func(*schemas.Connector)) (after schemas.Connector, err error) {
	err = r.Write(ctx, func(known map[string][]byte) ([]schemas.Record, error) {
		before, err := existing(known, name, generation)
		if err != nil {
			return nil, err
		}
		now := time.Now().UTC()
		after = *before
		change(&after)
		after.Generation, after.UpdatedAt, after.UpdatedBy = before.Generation+1, now, who.By
		return written(&after, before, action, who, now), nil
	})
	return after, err
}

func existing(known map[string][]byte, name string, generation int64) (*schemas.Connector, error) {
	if known[name] == nil && generation == 0 {
		return nil, fmt.Errorf("connector %.80s %w", name, ErrNotFound)
	}
	return seen(known, name, generation)
}

// ErrNotRetired is returned (wrapped) for a connector that was removed, but not
// retired.
var ErrNotRetired = errors.New("is off the control log, and its status is not yet; remove it again by command")

// Remove takes a connector off the log and retires it, see Retire. The error is a
// *ConflictError, or wraps ErrNotFound or ErrNotRetired.
func (r *Registry) Remove(ctx context.Context, name string, generation int64, who Who) error {
	err := r.Write(ctx, func(known map[string][]byte) ([]schemas.Record, error) {
		before, err := existing(known, name, generation)
		if err != nil {
			return nil, err
		}
		return written(nil, before, "connector.remove", who, time.Now().UTC()), nil
	})
	if err != nil {
		return err
	}
	if _, err := r.Retire(ctx, name, who); err != nil {
		return fmt.Errorf("connector %s %w: %w", name, ErrNotRetired, err)
	}
	return nil
}

// Write writes records of other kinds, with their audit record, by what the log
// says: jobs and bells. See producer.ControlWriter.Change. Beside Follow, who has
// written finds it here when it returns.
func (r *Registry) Write(ctx context.Context, decide producer.Decision) error {
	r.mu.Lock()
	w := r.writer
	r.mu.Unlock()
	if err := w.Change(ctx, decide); err != nil {
		return err
	}
	r.readBack(ctx)
	return nil
}

// readWithin is how long a change waits to be read. It is written all the same.
const readWithin = 2 * time.Second

func (r *Registry) readBack(ctx context.Context) {
	r.reading.Lock()
	followed := r.followed
	r.reading.Unlock()
	if !followed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	_ = r.CatchUp(ctx)
}

// Bell is the record that has the owner of a connector look at its shard.
func Bell(connector, by string, now time.Time) schemas.Record {
	key := schemas.ControlKey{Kind: schemas.ControlBell, Connector: connector}
	return schemas.Record{Topic: schemas.Connectors, Key: []byte(key.String()), Value: schemas.Bell{At: now, By: by}.Marshal(), Time: now}
}
