package service

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// control is a command's or a console's registry beside the instances.
func (w *world) control(path string) *registry.Registry {
	w.tb.Helper()
	cfg, err := config.Load(path, noEnvironment)
	if err != nil {
		w.tb.Fatal(err)
	}
	cluster, err := Cluster(cfg)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(cluster.Close)
	ring, err := cfg.Secrets.Ring()
	if err != nil {
		w.tb.Fatal(err)
	}
	return registry.New(registry.Options{Cluster: cluster, Topics: Topics(cfg), Group: cfg.Group, Ring: ring, Log: zerolog.Nop()})
}

func (w *world) draft(tenant string) registry.Draft {
	id, secret := w.sim.Credentials(tenant)
	return registry.Draft{
		Name: tenant, Domain: tenant + ".onelogin.com", ClientID: id, Secret: secret, BaseURL: w.hosts[tenant].url,
		Settings: map[string]json.RawMessage{
			"poll": json.RawMessage(`{"min":"20ms","max":"200ms"}`), "sweep": json.RawMessage(`{"every":"2s","window":"2m"}`),
			"rate_limit": json.RawMessage(`{"share":1}`),
		},
	}
}

// position is the committed position of a connector; zero if it has none.
func (w *world) position(name string) (o schemas.Offset) {
	w.tb.Helper()
	w.read("onelogin.offsets", func(r *schemas.Record) {
		if string(r.Key) == name {
			o, _ = schemas.ParseOffset(r.Value) // zero for a tombstone
		}
	})
	return o
}

var operator = registry.Who{By: "ann", Via: "command"}

// keyed writes a configuration with a new key of sealed secrets.
func (w *world) keyed(instance string) string {
	w.tb.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		w.tb.Fatal(err)
	}
	w.write(w.path("keys", "one"), key+"\n")
	return w.main(instance, "secrets: {keys: [{private_key_file: keys/one}]}")
}

// A connector is made, changed, paused and removed on the control log while the
// service runs, and no other is touched.
func TestConnectorOnTheControlLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "filed", "logged"))
	w.remove("logged")
	path := w.keyed("one")
	in := w.start("one")
	w.awaitAll("filed")
	filed := in.snapshot()["filed"]
	r, ctx := w.control(path), context.Background()

	made, err := r.Put(ctx, w.draft("logged"), 0, operator)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitAll("logged")
	w.await("the secret's generation in the position", func() bool { return w.position("logged").SecretGeneration == 1 })

	if _, err := r.Pause(ctx, "logged", true, made.Generation, operator); err != nil {
		t.Fatal(err)
	}
	w.await("the status PAUSED", func() bool { return w.statuses()["logged"].State == schemas.StatePaused })
	if _, err := r.Pause(ctx, "logged", false, 2, operator); err != nil {
		t.Fatal(err)
	}
	w.await("the status ACTIVE", func() bool { return w.statuses()["logged"].State == schemas.StateActive })

	// A secret that is entered again is a new one; the record before it is refused.
	renewed, err := r.Put(ctx, w.draft("logged"), 3, operator)
	if err != nil || renewed.Secret.Generation != 2 {
		t.Fatalf("renewed %+v, %v", renewed, err)
	}
	w.await("the new secret to be used", func() bool { return w.position("logged").SecretGeneration == 2 })
	put := func(c schemas.Connector) {
		t.Helper()
		if err := r.Write(ctx, func(map[string][]byte) ([]schemas.Record, error) {
			return []schemas.Record{{Topic: schemas.Connectors, Key: []byte(c.Name), Value: c.Marshal(), Time: time.Now()}}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(made)
	w.await("the replayed record to be refused", func() bool {
		st := w.statuses()["logged"]
		return st.State == schemas.StateFailing && st.Stage == stageConfiguration && strings.Contains(st.Message, "an old record was put back")
	})
	put(renewed)
	w.await("the status ACTIVE again", func() bool { return w.statuses()["logged"].State == schemas.StateActive })

	// One that was pointed elsewhere does not open: the last good one goes on.
	moved := renewed
	moved.BaseURL = w.hosts["filed"].url
	put(moved)
	w.await("the moved record to be set aside", func() bool {
		st := w.statuses()["logged"]
		return st.State == schemas.StateActive && st.Stage == stageConfiguration && strings.Contains(st.Message, "sealed for another domain")
	})
	put(renewed)
	w.await("the record to be taken over again", func() bool { return w.statuses()["logged"].Stage == "" })

	if in.snapshot()["filed"] != filed {
		t.Error("another connector was touched")
	}
	for _, secret := range []string{w.draft("logged").Secret, "OLK-SECRET"} {
		if strings.Contains(in.log.String(), secret) {
			t.Error("the log shows a secret")
		}
	}
}

// Of one name in a file and on the log the file's counts, and it is said.
func TestFileWinsOverTheControlLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "both"))
	path := w.keyed("one")
	r, ctx := w.control(path), context.Background()
	in := w.start("one")
	if _, err := r.Put(ctx, w.draft("both"), 0, operator); err != nil {
		t.Fatal(err)
	}
	w.await("the shadow to be said", func() bool {
		v, _ := in.metric("onelogin_connectors_shadowed", "both")
		return v == 1 && len(in.log.with("both in a file and on the control log")) == 1
	})
	if c := in.snapshot()["both"]; c.config.Recorded {
		t.Error("the log's is used")
	}
	w.awaitAll("both")
	// Without the file the log's is used, from the same position.
	w.remove("both")
	in.reload()
	w.await("the log's to be used", func() bool {
		c := in.snapshot()["both"]
		_, shadowed := in.metric("onelogin_connectors_shadowed")
		return c != nil && c.config.Recorded && !shadowed
	})
	w.awaitPolls(3, "both")
	w.awaitAll("both")
}

// A tenant that is off-boarded leaves nothing behind, beside one that goes on.
func TestForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "stays", "leaves"))
	w.remove("leaves")
	path := w.keyed("one")
	w.write(w.path("two.yaml"), strings.Replace(readFile(t, path), "instance: one", "instance: two", 1))
	in, other := w.start("one"), w.start("two")
	r, ctx := w.control(path), context.Background()
	made, err := r.Put(ctx, w.draft("leaves"), 0, operator)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitAll("stays", "leaves")
	w.await("a status", func() bool { return w.statuses()["leaves"].State == schemas.StateActive })
	if _, err := r.Forget(ctx, "leaves", operator); err == nil {
		t.Error("a connector that is in use was forgotten")
	}
	if err := r.Remove(ctx, "leaves", made.Generation, operator); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Forget(ctx, "leaves", operator); err != nil || n == 0 {
		t.Fatalf("%d records forgotten, %v", n, err)
	}
	w.await("the shard's owner to know", func() bool {
		return len(in.absent.all())+len(other.absent.all()) == 0 && in.Ready() == nil && other.Ready() == nil
	})
	if o := w.position("leaves"); o.Events != 0 {
		t.Errorf("the position is there: %+v", o)
	}
	if st, ok := w.statuses()["leaves"]; ok {
		t.Errorf("the status is there: %+v", st)
	}
	if err := w.sim.Burst("stays", 30); err != nil {
		t.Fatal(err)
	}
	w.awaitAll("stays", "leaves") // and nothing twice
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An instance is ready when what is on the control log is polled, not when it is
// only read: to open many secrets takes a while.
func TestReadyOnceTheControlLogIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "filed"))
	cfg, err := config.Load(w.main("one", ""), noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, Options{Log: zerolog.Nop(), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s.control.mu.Lock() // taking over lasts
	taken := sync.OnceFunc(s.control.mu.Unlock)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		taken()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w.await("the log to be read and the shards to be served", func() bool { return s.control.Whole() && s.instance.Ready() == nil })
	if err := s.Ready(); !errors.Is(err, errControl) {
		t.Errorf("ready though nothing is taken over: %v", err)
	}
	taken()
	w.await("the instance to be ready", func() bool { return s.Ready() == nil })
}
