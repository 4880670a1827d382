package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func patient(t testing.TB) context.Context {
	t.Helper()
	return wait.Context(t, time.Minute)
}

const canary = "s3aled-canary"

var ann = Who{By: "ann", Via: "command", Reason: "a test"}

// rig is a broker with the topics.
type rig struct {
	addr   string
	topics producer.Topics
}

func newRig(t testing.TB) *rig {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	g := &rig{addr: broker.ListenAddrs()[0], topics: producer.Topics{Create: true, ReplicationFactor: 1}}
	for i := range g.topics.Specs {
		g.topics.Specs[i] = producer.TopicSpec{Name: "t." + schemas.Topic(i).String(), Partitions: 1}
	}
	g.topics.Specs[schemas.Offsets].Partitions = 4
	if _, err := g.topics.Ensure(patient(t), g.cluster(t)); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) cluster(t testing.TB) *wire.Cluster {
	t.Helper()
	c := wire.Open(wire.Config{Brokers: []string{g.addr}})
	t.Cleanup(c.Close)
	return c
}

// open returns another instance's registry.
func (g *rig) open(t testing.TB, ring *seal.Ring) *Registry {
	t.Helper()
	return New(Options{Cluster: g.cluster(t), Topics: g.topics, Group: "g", Ring: ring, Log: zerolog.Nop()})
}

func newKey(t testing.TB) seal.PrivateKey {
	t.Helper()
	text, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func draft(name string) Draft {
	return Draft{
		Name: name, Domain: "https://" + name + ".onelogin.com/", ClientID: "0123", Secret: canary,
		Settings: map[string]json.RawMessage{"poll": json.RawMessage(`{"min":"3s"}`)},
	}
}

// read has a registry read the log.
func read(t testing.TB, r *Registry) *Registry {
	t.Helper()
	if err := r.Read(patient(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

// audit returns the audit records.
func (g *rig) audit(t testing.TB) (all []schemas.AuditEntry) {
	t.Helper()
	log := producer.CommittedLog{Cluster: g.cluster(t), Topic: g.topics.Specs[schemas.Audit].Name}
	if _, err := log.Read(patient(t), func(_ int64, r *schemas.Record) error {
		a, err := schemas.ParseAuditEntry(r.Value)
		if strings.Contains(string(r.Value), canary) || strings.Contains(string(r.Value), "ok1.") {
			t.Errorf("an audit record shows a secret: %s", r.Value)
		}
		all = append(all, a)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPutAndRead(t *testing.T) {
	g := newRig(t)
	ring := seal.NewRing(newKey(t))
	r := g.open(t, ring)
	made, err := r.Put(patient(t), draft("acme"), 0, ann)
	if err != nil {
		t.Fatal(err)
	}
	if made.Generation != 1 || made.Secret.Generation != 1 || made.Domain != "acme.onelogin.com" || made.UpdatedBy != "ann" {
		t.Errorf("made %+v", made)
	}
	other := read(t, g.open(t, ring))
	got, err := other.Get("acme")
	if err != nil || string(got.Marshal()) != string(made.Marshal()) {
		t.Fatalf("read %+v, %v", got, err)
	}
	if secret, err := other.Open(got); err != nil || secret != canary {
		t.Errorf("opened %q, %v", secret, err)
	}
	cc, aside := other.Configured()
	if len(cc) != 1 || len(aside) != 0 || cc[0].Poll.Min != 3*time.Second || !cc[0].Recorded || cc[0].SecretGeneration != 1 {
		t.Errorf("configured %+v, set aside %+v", cc, aside)
	}
	if secret, err := cc[0].ClientSecret.Reveal(); err != nil || secret != canary {
		t.Errorf("the configured secret: %q, %v", secret, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", cc, cc, cc); strings.Contains(shown, canary) {
		t.Error("a configured connector shows its secret")
	}
	// Sealing needs no private key.
	public := g.open(t, nil)
	if _, err := public.Put(patient(t), draft("globex"), 0, ann); err != nil {
		t.Fatal(err)
	}
	if _, aside := read(t, public).Configured(); len(aside) != 2 || !strings.Contains(aside[0].Reason(), "no key of secrets.keys here opens it") {
		t.Errorf("without a private key: %+v", aside)
	}
	if c, err := read(t, other).Get("globex"); err != nil {
		t.Error(err)
	} else if _, err := other.Open(c); err != nil {
		t.Error(err)
	}
	// A pause needs no key at all, and is no new secret.
	paused, err := public.Pause(patient(t), "acme", true, 1, ann)
	if err != nil || !paused.Paused || paused.Generation != 2 || paused.Secret != made.Secret {
		t.Errorf("paused %+v, %v", paused, err)
	}
	if _, err := r.Pause(patient(t), "acme", false, 2, ann); err != nil {
		t.Error(err)
	}
	if err := r.Remove(patient(t), "acme", 3, ann); err != nil {
		t.Error(err)
	}
	if _, err := read(t, other).Get("acme"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after removal: %v", err)
	}
	var actions []string
	for _, a := range g.audit(t) {
		actions = append(actions, a.Action+" "+a.Connector)
	}
	if got := strings.Join(actions, ", "); got != "connector.add acme, connector.add globex, connector.pause acme, connector.resume acme, connector.remove acme" {
		t.Errorf("audit: %s", got)
	}
}

func TestConflicts(t *testing.T) {
	g := newRig(t)
	r := g.open(t, seal.NewRing(newKey(t)))
	if _, err := r.Put(patient(t), draft("acme"), 0, ann); err != nil {
		t.Fatal(err)
	}
	bob := Who{By: "bob", Via: "console"}
	if _, err := g.open(t, r.Ring()).Put(patient(t), draft("acme"), 1, bob); err != nil {
		t.Fatal(err)
	}
	_, err := r.Put(patient(t), draft("acme"), 1, ann)
	c, ok := errors.AsType[*ConflictError](err)
	if !ok || c.By != "bob" || c.Generation != 2 || !strings.Contains(err.Error(), "was changed meanwhile by bob at 2") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Put(patient(t), draft("acme"), 0, ann); !strings.Contains(fmt.Sprint(err), "is there already, by bob") {
		t.Errorf("made twice: %v", err)
	}
	if err := r.Remove(patient(t), "acme", 1, ann); !strings.Contains(fmt.Sprint(err), "changed meanwhile") {
		t.Errorf("removed by an old generation: %v", err)
	}
	if err := r.Remove(patient(t), "acme", 2, ann); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pause(patient(t), "acme", true, 2, ann); !strings.Contains(fmt.Sprint(err), "was removed meanwhile") {
		t.Errorf("paused after removal: %v", err)
	}
	if err := r.Remove(patient(t), "acme", 0, ann); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed what is not there: %v", err)
	}
}

// Two writers at once: each change counts once or is a conflict; none is lost.
func TestTwoWriters(t *testing.T) {
	g := newRig(t)
	ring := seal.NewRing(newKey(t))
	if _, err := g.open(t, ring).Put(patient(t), draft("acme"), 0, ann); err != nil {
		t.Fatal(err)
	}
	const each = 15
	var wins, conflicts [2]int
	var group errgroup.Group
	for i := range 2 {
		r := g.open(t, ring)
		group.Go(func() error {
			for range each {
				if err := r.Read(patient(t)); err != nil {
					return err
				}
				c, err := r.Get("acme")
				if err != nil {
					return err
				}
				_, err = r.Pause(patient(t), "acme", !c.Paused, c.Generation, ann)
				if _, ok := errors.AsType[*ConflictError](err); ok {
					conflicts[i]++
					continue
				}
				if err != nil {
					return err
				}
				wins[i]++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	c, err := read(t, g.open(t, ring)).Get("acme")
	total := wins[0] + wins[1]
	if err != nil || c.Generation != int64(1+total) || total+conflicts[0]+conflicts[1] != 2*each {
		t.Errorf("generation %d after %v changes and %v conflicts, %v", c.Generation, wins, conflicts, err)
	}
	if n := len(g.audit(t)); n != 1+total {
		t.Errorf("%d audit records of %d changes", n, 1+total)
	}
	t.Logf("%v changes, %v conflicts", wins, conflicts)
}

// A saved secret does not follow a connector to another address.
func TestSecretIsAskedForAgain(t *testing.T) {
	g := newRig(t)
	r := g.open(t, seal.NewRing(newKey(t)))
	made, err := r.Put(patient(t), draft("acme"), 0, ann)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Draft){
		"domain":    func(d *Draft) { d.Domain = "evil.onelogin.com" },
		"base_url":  func(d *Draft) { d.BaseURL = "https://evil.example" },
		"client_id": func(d *Draft) { d.ClientID = "0124" },
	} {
		d := DraftOf(made)
		change(&d)
		if _, err := r.Put(patient(t), d, 1, ann); !errors.Is(err, ErrSecret) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	d := DraftOf(made)
	d.Settings = nil
	edited, err := r.Put(patient(t), d, 1, ann)
	if err != nil || edited.Secret != made.Secret || edited.Generation != 2 {
		t.Errorf("edited %+v, %v", edited, err)
	}
	d.Domain, d.Secret = "acme-eu.onelogin.com", canary
	moved, err := r.Put(patient(t), d, 2, ann)
	if err != nil || moved.Secret.Generation != 2 {
		t.Errorf("moved %+v, %v", moved, err)
	}
	d = draft("globex")
	d.Secret = ""
	if _, err := r.Put(patient(t), d, 0, ann); !errors.Is(err, ErrSecret) {
		t.Errorf("made without a secret: %v", err)
	}
	if _, err := g.open(t, nil).Put(patient(t), draft("initech"), 0, ann); err != nil {
		t.Errorf("sealed with the log's key: %v", err)
	}
	if _, err := newRig(t).open(t, nil).Put(patient(t), draft("initech"), 0, ann); !errors.Is(err, ErrSealingKey) {
		t.Errorf("without any key: %v", err)
	}
}

func TestBadDrafts(t *testing.T) {
	r := newRig(t).open(t, seal.NewRing(newKey(t)))
	for name, change := range map[string]func(*Draft){
		"name":      func(d *Draft) { d.Name = "Acme" },
		"no domain": func(d *Draft) { d.Domain = "" },
		"domain":    func(d *Draft) { d.Domain = "acme.example.com" },
		"type":      func(d *Draft) { d.Type = "okta" },
		"client id": func(d *Draft) { d.ClientID = "" },
		"secret":    func(d *Draft) { d.Secret = "two\nlines" },
		"setting":   func(d *Draft) { d.Settings = map[string]json.RawMessage{"pol": json.RawMessage(`1`)} },
		"range": func(d *Draft) {
			d.Settings = map[string]json.RawMessage{"poll": json.RawMessage(`{"min":"1h","max":"1s"}`)}
		},
		"not JSON":          func(d *Draft) { d.Settings = map[string]json.RawMessage{"poll": json.RawMessage(`{`)} },
		"a variable":        func(d *Draft) { d.ClientID = "env:HOME" },
		"a nested variable": func(d *Draft) { d.Settings = map[string]json.RawMessage{"poll": json.RawMessage(`{"min":"env:HOME"}`)} },
		"a file": func(d *Draft) {
			d.Settings = map[string]json.RawMessage{"client_secret_file": json.RawMessage(`"/etc/passwd"`)}
		},
		"a second plain text": func(d *Draft) { d.Settings = map[string]json.RawMessage{"client_secret": json.RawMessage(`"x"`)} },
	} {
		d := draft("acme")
		change(&d)
		_, err := r.Put(patient(t), d, 0, ann)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) == 0 || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if len(read(t, r).List()) != 0 {
		t.Error("something was written")
	}
}

// What somebody else wrote there is told of the connector alone.
func TestRecordsThatCannotBeUsed(t *testing.T) {
	g := newRig(t)
	ring := seal.NewRing(newKey(t))
	r := g.open(t, ring)
	made, err := r.PutAll(patient(t), []Change{{Draft: draft("good")}, {Draft: draft("later")}, {Draft: draft("moved")}, {Draft: draft("stolen")}}, ann)
	if err != nil {
		t.Fatal(err)
	}
	moved, stolen := made[2], made[3]
	moved.Domain = "evil.onelogin.com"
	stolen.Secret = made[0].Secret
	later := strings.Replace(string(made[1].Marshal()), `"version":1`, `"version":2`, 1)
	if err := r.Write(patient(t), func(map[string][]byte) ([]schemas.Record, error) {
		var all []schemas.Record
		for key, value := range map[string]string{"later": later, "moved": string(moved.Marshal()), "stolen": string(stolen.Marshal()), "garbled": "{", "_odd": "x"} {
			all = append(all, schemas.Record{Topic: schemas.Connectors, Key: []byte(key), Value: []byte(value), Time: time.Now()})
		}
		return all, nil
	}); err != nil {
		t.Fatal(err)
	}
	cc, aside := read(t, r).Configured()
	if len(cc) != 1 || cc[0].Name != "good" || len(aside) != 4 {
		t.Fatalf("configured %v, set aside %+v", cc, aside)
	}
	for i, want := range []string{"garbled", "later: unknown format version: found 2", "moved: client_secret: was sealed for another domain", "stolen: client_secret: was sealed for another"} {
		name, _, _ := strings.Cut(want, ":")
		if got := aside[i].Reason(); aside[i].Name != name || !strings.Contains(got, strings.TrimPrefix(want, name+": ")) {
			t.Errorf("%s is set aside as %q: %s", name, aside[i].Name, got)
		}
	}
	if _, err := r.Put(patient(t), draft("later"), 1, ann); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a record of a later version is replaced: %v", err)
	}
}

func TestReseal(t *testing.T) {
	g := newRig(t)
	old, next := newKey(t), newKey(t)
	var changes []Change
	for i := range 3 {
		changes = append(changes, Change{Draft: draft(fmt.Sprintf("acme-%d", i))})
	}
	if _, err := g.open(t, seal.NewRing(old)).PutAll(patient(t), changes, ann); err != nil {
		t.Fatal(err)
	}
	r := read(t, g.open(t, seal.NewRing(next, old)))
	n, failed, err := r.Reseal(patient(t), ann)
	if n != 3 || len(failed) != 0 || err != nil {
		t.Fatalf("%d changed, %v, %v", n, failed, err)
	}
	fresh := read(t, g.open(t, seal.NewRing(next)))
	for _, c := range fresh.List() {
		if secret, err := fresh.Open(c); err != nil || secret != canary || c.Secret.Generation != 1 || c.Generation != 2 {
			t.Errorf("%+v opens as %q, %v", c, secret, err)
		}
	}
	if keys := fresh.Keys(); len(keys) != 2 || !keys[0].Active || keys[0].ID != next.Public().ID() || keys[1].Active {
		t.Errorf("keys %+v", keys)
	}
	if n, _, err := read(t, r).Reseal(patient(t), ann); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

func TestFollow(t *testing.T) {
	g := newRig(t)
	ring := seal.NewRing(newKey(t))
	w := g.open(t, ring)
	if _, err := w.Put(patient(t), draft("acme"), 0, ann); err != nil {
		t.Fatal(err)
	}
	r := g.open(t, ring)
	bells := make(chan Entry, 10)
	r.Watch(func(e Entry) {
		if e.Key.Kind == schemas.ControlBell {
			bells <- e
		}
	})
	first := r.Changed()
	ctx, cancel := context.WithCancel(patient(t))
	done := make(chan struct{})
	go func() { defer close(done); r.Follow(ctx) }()
	defer func() { cancel(); <-done }()
	<-first
	if !r.Whole() || len(r.List()) != 1 {
		t.Fatalf("whole %t with %d connectors", r.Whole(), len(r.List()))
	}
	for i := range 5 {
		if _, err := w.Put(patient(t), draft(fmt.Sprintf("globex-%d", i)), 0, ann); err != nil {
			t.Fatal(err)
		}
		if err := r.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(r.List()); n != i+2 {
			t.Fatalf("caught up with %d connectors, want %d", n, i+2)
		}
	}
	if err := w.Write(patient(t), func(map[string][]byte) ([]schemas.Record, error) {
		return []schemas.Record{Bell("acme", "ann", time.Now())}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if e := <-bells; e.Key.Connector != "acme" {
		t.Errorf("rang %+v", e)
	}
	if got := r.Entries(schemas.ControlBell); len(got) != 1 {
		t.Errorf("bells: %+v", got)
	}
}

// The log of a large fleet is read whole, and one of it changed.
func TestTenThousand(t *testing.T) {
	g := newRig(t)
	ring := seal.NewRing(newKey(t))
	w := g.open(t, ring)
	var changes []Change
	for i := range 10_000 {
		changes = append(changes, Change{Draft: draft(fmt.Sprintf("tenant-%05d", i))})
	}
	if _, err := w.PutAll(patient(t), changes, ann); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := read(t, g.open(t, ring))
	readIn := time.Since(began)
	cc, aside := r.Configured()
	if len(cc) != 10_000 || len(aside) != 0 {
		t.Fatalf("%d configured, %d set aside", len(cc), len(aside))
	}
	t.Logf("read in %v, opened in %v", readIn, time.Since(began)-readIn)
	if _, err := r.Pause(patient(t), "tenant-04242", true, 1, ann); err != nil {
		t.Fatal(err)
	}
	again, _ := read(t, r).Configured()
	n := 0
	for i := range again {
		if !again[i].Equal(cc[i]) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d connectors differ after one was paused", n)
	}
}
