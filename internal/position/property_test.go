package position_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a service at work on a simulated OneLogin and a broker.
type fleet struct {
	t       *testing.T
	cfg     *config.Config
	sim     *simulator.Server
	cluster *wire.Cluster
}

func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1),
		// kfake compacts in its own way: it must never run.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	c := simulator.Config{Seed: 7, HourlyLimit: 100_000_000}
	for _, name := range names {
		c.Tenants = append(c.Tenants, simulator.Tenant{
			Name: name, ClientID: "id-" + name, ClientSecret: "secret-" + name, Backlog: 300, BacklogSpan: simulator.Duration(20 * time.Minute),
			Traffic: simulator.Traffic{Rate: 20, Late: 0.05, LateBy: simulator.Duration(3 * time.Second)},
		})
	}
	f := &fleet{t: t}
	if f.sim, err = simulator.New(c); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(f.sim)
	t.Cleanup(srv.Close)
	var b strings.Builder
	fmt.Fprintf(&b, "kafka: {brokers: [%q]}\ninstance: test\ncommit_interval: 20ms\n"+
		"topics: {replication_factor: 1, events: {partitions: 3}, offsets: {partitions: 2}}\nconnectors:\n", kafka.ListenAddrs()[0])
	for _, name := range names {
		fmt.Fprintf(&b, "  - {name: %s, domain: %s.onelogin.com, client_id: id-%s, client_secret: secret-%s, base_url: %q, poll: {min: 20ms, max: 100ms}, sweep: {every: 1s, window: 1m}, rate_limit: {share: 1}}\n",
			name, name, name, name, srv.URL)
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.cfg, err = config.Load(path, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	if f.cluster, err = service.Cluster(f.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.cluster.Close)
	return f
}

// run runs the service until the test ends.
func (f *fleet) run() *service.Service {
	f.t.Helper()
	var log strings.Builder
	svc, err := service.New(f.cfg, service.Options{Log: zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.WarnLevel), Registry: prometheus.NewRegistry()})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.t.Errorf("the service ended with %v", err)
		}
		if f.t.Failed() {
			f.t.Log(log.String())
		}
	})
	return svc
}

func (f *fleet) hand() *producer.Hand {
	return &producer.Hand{Cluster: f.cluster, Topics: service.Topics(f.cfg), Group: f.cfg.Group}
}

// published counts the copies of each event in the topic, by connector and id.
func (f *fleet) published() map[string]map[int64]int {
	f.t.Helper()
	all := map[string]map[int64]int{}
	for p := range int32(3) {
		log := &producer.CommittedLog{Cluster: f.cluster, Topic: f.cfg.Topics.Events.Name, Partition: p}
		_, err := log.Read(f.t.Context(), func(_ int64, r *schemas.Record) error {
			tenant, id := "", int64(0)
			for _, h := range r.Headers {
				switch h.Key {
				case schemas.HeaderTenant:
					tenant = string(h.Value)
				case schemas.HeaderID:
					id, _ = strconv.ParseInt(string(h.Value), 10, 64)
				}
			}
			if all[tenant] == nil {
				all[tenant] = map[int64]int{}
			}
			all[tenant][id]++
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return all
}

// journal is what operators have done, by connector.
type journal struct {
	mu        sync.Mutex
	applied   map[string][]position.Plan
	done      map[string]int // by kind
	conflicts int
}

// note keeps what an operator was told of a plan.
func (j *journal) note(kind string, p position.Plan, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.conflicts++
		return
	}
	j.done[kind]++
	if p.Before.Fresh || p.After.Fresh { // it reaches to when it was applied
		p.Repeat.To = time.Now()
	}
	j.applied[p.Before.Connector] = append(j.applied[p.Before.Connector], p)
}

// allowed is how often an event may be in the topic, by what the plans named.
func (j *journal) allowed(connector string, created time.Time) (least, most int) {
	least, most = 1, 1
	for _, p := range j.applied[connector] {
		if p.Repeat.Holds(created) {
			most++
		}
		if p.Skip.Holds(created) {
			least = 0
		}
	}
	return least, most
}

// operator moves positions at random, beside whoever else does.
func (f *fleet) operator(rnd *rand.Rand, moves int, names []string, j *journal) {
	e := &position.Editor{Hand: f.hand(), By: "somebody", Via: "command"}
	var exports []position.State
	for moves > 0 {
		name := names[rnd.IntN(len(names))]
		now := time.Now().UTC()
		kind, target := "back", position.Target{Back: time.Duration(1 + rnd.Int64N(int64(3*time.Minute)))}
		switch n := rnd.IntN(10); {
		case n == 0:
			kind, target = "reset", position.Target{Reset: true, StartFrom: now.Add(-24 * time.Hour)} // the default of start_from
		case n < 3:
			kind, target = "forward", position.Target{Through: now.Add(-time.Duration(rnd.Int64N(int64(time.Second))))}
		case n < 6 && len(exports) > 0:
			st := exports[rnd.IntN(len(exports))]
			name = st.Connector
			kind, target = "import", position.Target{Import: &st}
		}
		p, shards, err := e.Plan(f.t.Context(), name, target)
		if errors.Is(err, position.ErrUnknown) {
			continue // it was reset a moment ago
		}
		moves--
		if err != nil {
			f.t.Errorf("%s of %s: %v", kind, name, err)
			return
		}
		if !p.Before.Fresh {
			exports = append(exports, p.Before)
		}
		err = e.Apply(f.t.Context(), []position.Plan{p}, shards)[name]
		if err != nil && !errors.Is(err, position.ErrConflict) {
			f.t.Errorf("%s of %s: neither applied nor refused with a conflict: %v", kind, name, err)
			return
		}
		j.note(kind, p, err)
	}
}

// TestRandomMoves: two operators set, reset and import positions at random,
// beside live polls. Each move is applied whole or refused with a conflict;
// nothing is lost that the plans did not name, and nothing is in the topic more
// often than they said.
func TestRandomMoves(t *testing.T) {
	t.Parallel()
	names := []string{"acme", "globex", "initech"}
	f := newFleet(t, names...)
	f.run()
	wait.For(t, "events", time.Minute, func() bool {
		states, errs, _, err := (&position.Editor{Hand: f.hand()}).Read(t.Context())
		return err == nil && len(errs) == 0 && len(states) == len(names) && !states["acme"].Offset.CompleteThrough.IsZero()
	})
	j := &journal{applied: map[string][]position.Plan{}, done: map[string]int{}}
	var operators sync.WaitGroup
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range uint64(2) {
		operators.Go(func() { f.operator(rand.New(rand.NewPCG(seed, i)), moves(), names, j) })
	}
	operators.Wait()
	if t.Failed() {
		return
	}
	end := time.Now()
	for _, name := range names {
		wait.For(t, name+" to be where it was and further", 2*time.Minute, func() bool {
			states, errs, _, err := (&position.Editor{Hand: f.hand()}).Read(t.Context(), name)
			return err == nil && len(errs) == 0 && states[name].Offset.CompleteThrough.After(end.Add(time.Second))
		})
	}
	f.judge(names, j, end)
	t.Logf("%v applied, %d conflicts", j.done, j.conflicts)
	for _, kind := range []string{"back", "forward", "reset", "import"} {
		if j.done[kind] == 0 {
			t.Errorf("%s was never applied: nothing was tried", kind)
		}
	}
	if j.conflicts == 0 {
		t.Error("there was no conflict: the operators were never at once")
	}
}

// moves is how many each operator makes: SOAK_MOVES in all, where that is set.
func moves() int {
	if n, err := strconv.Atoi(os.Getenv("SOAK_MOVES")); err == nil && n > 1 {
		return n / 2
	}
	return 60
}

// judge holds the topic against what there is and what the plans named.
func (f *fleet) judge(names []string, j *journal, end time.Time) {
	t := f.t
	t.Helper()
	found := f.published()
	repeated := 0
	for _, name := range names {
		truth, err := f.sim.Truth(name)
		if err != nil {
			t.Fatal(err)
		}
		for e := range truth {
			if e.CreatedAt.After(end) || e.VisibleAt.After(end) {
				continue
			}
			n := found[name][e.ID]
			least, most := j.allowed(name, e.CreatedAt)
			if n < least || n > most {
				t.Errorf("%s: event %d of %s is there %d times, want %d to %d", name, e.ID, e.CreatedAt.Format(time.RFC3339Nano), n, least, most)
			}
			repeated += max(n-1, 0)
		}
	}
	if repeated == 0 {
		t.Error("nothing was repeated: the moves have moved nothing")
	}
}
