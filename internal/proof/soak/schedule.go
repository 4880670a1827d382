package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/wait"
)

// Schedule is a seeded random order of faults. Each ends by itself; after each,
// every tenant must get on again within Resume.
type Schedule struct {
	w     *World
	r     *rand.Rand
	proxy *faultproxy.Set
	names []string // instances that are to run
	next  int      // number of the next new instance
	Hits  map[string]int
	// Resume is how much of the machine's time a tenant may take to get on once all is healed.
	Resume time.Duration
	held   time.Duration // and how much longer under quotas
}

// NewSchedule returns a schedule over an environment whose instances, named in names,
// run behind proxy.
func NewSchedule(w *World, seed uint64, proxy *faultproxy.Set, names []string) *Schedule {
	return &Schedule{
		w: w, r: rand.New(rand.NewPCG(seed, 1)), proxy: proxy, names: slices.Clone(names), next: len(names) + 1,
		Hits: map[string]int{}, Resume: 15 * time.Second,
	}
}

// action is a fault. It returns an error if it could not happen.
type action struct {
	name string
	do   func(*Schedule) error
}

var actions = []action{
	{"kill", (*Schedule).kill},
	{"kill_all", (*Schedule).killAll},
	{"kill_for_good", (*Schedule).killForGood},
	{"pause", (*Schedule).pause},
	{"terminate", (*Schedule).terminate},
	{"join", (*Schedule).join},
	{"leave", (*Schedule).leave},
	{"broker_kill", (*Schedule).brokerKill},
	{"broker_pause", (*Schedule).brokerPause},
	{"coordinator_pause", (*Schedule).coordinatorPause},
	{"cluster_kill", (*Schedule).clusterKill},
	{"cut_connections", (*Schedule).cut},
	{"partition", (*Schedule).partition},
	{"lose_answers", (*Schedule).loseAnswers},
	{"reconfigure", (*Schedule).reconfigure},
	{"broker_cut_off", (*Schedule).brokerCutOff},
}

// Step lets one fault happen and heals it, half of them under quotas.
func (s *Schedule) Step() error {
	a := actions[s.r.IntN(len(actions))]
	quotas := s.r.IntN(2) == 0
	s.w.tb.Logf("%s  %s, quotas: %t", time.Now().Format("15:04:05.000"), a.name, quotas)
	if s.held = 0; quotas {
		s.held = held
	}
	if err := s.w.quotas(quotas, s.names...); err != nil {
		return err
	}
	if err := a.do(s); err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	s.Hits[a.name]++
	if s.w.throttled() {
		s.Hits["throttled"]++
	}
	return nil
}

// rest sleeps for a random time.
func (s *Schedule) rest(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.r.Int64N(int64(most-least)+1)))
}

func (s *Schedule) pick() *Instance { return s.w.Instance(s.names[s.r.IntN(len(s.names))]) }

func (s *Schedule) kill() error {
	in := s.pick()
	if err := in.Kill(); err != nil {
		return err
	}
	s.rest(0, 8*time.Second)
	s.w.Start(in.Name)
	return nil
}

func (s *Schedule) killAll() error {
	for _, name := range s.names {
		if err := s.w.Instance(name).Kill(); err != nil {
			return err
		}
	}
	s.rest(0, 2*time.Second)
	for _, name := range s.names {
		s.w.Start(name)
	}
	return nil
}

func (s *Schedule) killForGood() error {
	if len(s.names) < 2 {
		return s.kill()
	}
	in := s.pick()
	if err := in.Kill(); err != nil {
		return err
	}
	s.drop(in.Name)
	return nil
}

func (s *Schedule) drop(name string) {
	s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == name })
}

func (s *Schedule) pause() error {
	in := s.pick()
	if err := in.Pause(); err != nil {
		return err
	}
	s.rest(100*time.Millisecond, 16*time.Second)
	return in.Resume()
}

func (s *Schedule) terminate() error {
	in := s.pick()
	if err := in.Terminate(15 * time.Second); err != nil {
		return err
	}
	s.rest(0, time.Second)
	s.w.Start(in.Name)
	return nil
}

const mostInstances = 4

func (s *Schedule) join() error {
	if len(s.names) >= mostInstances {
		return s.leave()
	}
	name := fmt.Sprintf("i%d", s.next)
	s.next++
	s.w.Start(name)
	s.names = append(s.names, name)
	return nil
}

func (s *Schedule) leave() error {
	if len(s.names) < 2 {
		return s.join()
	}
	in := s.pick()
	if err := in.Terminate(15 * time.Second); err != nil {
		return err
	}
	s.drop(in.Name)
	return nil
}

func (s *Schedule) brokerKill() error {
	nodes := s.w.plan.Cluster.Nodes()
	n := nodes[s.r.IntN(len(nodes))]
	if err := n.Kill(); err != nil {
		return err
	}
	s.rest(500*time.Millisecond, 6*time.Second)
	return n.Start()
}

func (s *Schedule) brokerPause() error {
	nodes := s.w.plan.Cluster.Nodes()
	n := nodes[s.r.IntN(len(nodes))]
	if err := n.Pause(); err != nil {
		return err
	}
	s.rest(500*time.Millisecond, 12*time.Second)
	return n.Resume()
}

// brokerCutOff divides a broker from its peers: it answers on, by what it knew.
func (s *Schedule) brokerCutOff() error {
	nodes := s.w.plan.Cluster.Nodes()
	heal := nodes[s.r.IntN(len(nodes))].CutOff(s.w.tb)
	s.rest(5*time.Second, 20*time.Second)
	heal()
	return nil
}

// coordinatorPause hits the one broker that every instance's heartbeats go to.
func (s *Schedule) coordinatorPause() error {
	ctx, cancel := wait.Within(s.w.tb.Context(), 10*time.Second)
	defer cancel()
	n, err := s.w.plan.Cluster.GroupCoordinator(ctx, s.w.name)
	if err != nil {
		return err
	}
	if err := n.Pause(); err != nil {
		return err
	}
	s.rest(500*time.Millisecond, 12*time.Second)
	return n.Resume()
}

// cold is how much of the machine's time tenants may take to get on when brokers have just started. Three of them spend some 45
// seconds of processor time on compiling their code first, of which no client has anything: on the clock that is as much as the
// machine makes of it. What it took is logged; longer is stuck.
const cold = 45 * time.Second

// clusterKill ends every broker at once, for longer than a transaction may stay
// open (10 s). It is healed when Kafka can be used again, and no longer cold.
func (s *Schedule) clusterKill() error {
	if err := s.w.plan.Cluster.KillAll(); err != nil {
		return err
	}
	s.rest(11*time.Second, 16*time.Second)
	if err := s.w.plan.Cluster.StartAll(s.w.tb.Context()); err != nil {
		return err
	}
	began := wait.Begin()
	if err := s.w.AwaitProgress(cold + s.held); err != nil {
		return err
	}
	s.w.tb.Logf("every tenant got on %s after all brokers were ready again", began)
	return nil
}

// cut closes all connections of one instance at once.
func (s *Schedule) cut() error {
	in := s.pick()
	if n := s.proxy.Cut(faultproxy.Filter{ClientID: in.Name}); n == 0 {
		s.w.tb.Logf("no connection of %s to cut", in.Name)
	}
	return nil
}

// partition holds back what one instance sends, or hears, or both.
func (s *Schedule) partition() error {
	in := s.pick()
	dirs := []faultproxy.Direction{faultproxy.ToBroker, faultproxy.ToClient, faultproxy.Both}
	heal := s.proxy.Partition(faultproxy.Filter{ClientID: in.Name}, dirs[s.r.IntN(len(dirs))])
	s.rest(500*time.Millisecond, 15*time.Second)
	heal()
	return nil
}

// keys are the requests whose answers are lost.
var keys = []int16{0, 1, 2, 3, 10, 11, 12, 14, 22, 24, 26}

func (s *Schedule) loseAnswers() error {
	key := keys[s.r.IntN(len(keys))]
	kinds := []faultproxy.Kind{faultproxy.DropAnswer, faultproxy.DropRequest, faultproxy.TearAnswer}
	h := s.proxy.Add(faultproxy.Fault{Kind: kinds[s.r.IntN(len(kinds))], Key: key, Probability: 0.3, Times: 1 + s.r.IntN(10)})
	s.rest(time.Second, 4*time.Second)
	s.proxy.Remove(h)
	return nil
}

// reconfigure pauses one tenant, adds it again, or takes it out and puts it in.
func (s *Schedule) reconfigure() error {
	tenants := s.w.Sim.Tenants()
	name := tenants[s.r.IntN(len(tenants))].Name
	if s.r.IntN(2) == 0 {
		s.w.WriteConnector(name, "paused: true")
	} else {
		s.w.RemoveConnector(name)
	}
	s.rest(time.Second, 6*time.Second)
	s.w.WriteConnector(name, "")
	return nil
}

// AwaitProgress waits until every tenant has published something new.
func (s *Schedule) AwaitProgress() error { return s.w.AwaitProgress(s.Resume + s.held) }
