package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// Instance is an instance by what the status topic says.
type Instance struct {
	Instance   string `json:"instance"`
	Connectors int    `json:"connectors"`
	Shards     []int  `json:"shards"`
	// Console is where its console is reached; empty where that is not known.
	Console string                `json:"console,omitempty"`
	Counts  map[schemas.State]int `json:"counts"`
	// Age is how long ago it was last heard of, in seconds.
	Age float64 `json:"age_seconds"`
}

// Fleet is what GET /api/v1/fleet answers.
type Fleet struct {
	// Here is the instance that was asked.
	Here     string `json:"here"`
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready,omitempty"`
	Version  string `json:"version"`
	// Instances are those that the query asks for.
	Instances []Instance `json:"instances"`
	paged
	// Rebalances are when shards moved between them, the last time first.
	Rebalances []Rebalance `json:"rebalances"`
	// Shards are those of the instance that was asked.
	Shards []Shard `json:"shards"`
}

// Elsewhere is another instance whose console shows the same.
type Elsewhere struct {
	Instance string `json:"instance"`
	Console  string `json:"console"`
}

// spoken is where an instance said that its console is reached, and when.
type spoken struct {
	console string
	at      time.Time
}

// hear takes over where an instance's console is reached. The caller holds the
// lock.
func (b *Board) hear(st *schemas.ConnectorStatus, at time.Time) {
	before, known := b.consoles[st.Instance]
	if known && !at.After(before.at) {
		return
	}
	if !known { // names of instances may come and go for ever
		maps.DeleteFunc(b.consoles, func(_ string, s spoken) bool { return at.Sub(s.at) > fleet.Stale })
	}
	b.consoles[st.Instance] = spoken{st.Console, at}
}

// elsewhere are the other instances that were heard of lately, as far as whoever
// asks can reach them: a loopback address is that of the machine it is used on.
func (o *Options) elsewhere(r *http.Request, now time.Time) []Elsewhere {
	return o.Board.elsewhere(o.Instance, isLoopback(hostOf(r)), now)
}

func (b *Board) elsewhere(own string, near bool, now time.Time) []Elsewhere {
	list := []Elsewhere{}
	b.mu.Lock()
	defer b.mu.Unlock()
	for instance, s := range b.consoles {
		if instance == own || s.console == "" || s.console == b.consoles[own].console || now.Sub(s.at) > fleet.Stale {
			continue
		}
		if u, err := url.Parse(s.console); err == nil && (near || !isLoopback(u.Hostname())) {
			list = append(list, Elsewhere{instance, s.console})
		}
	}
	slices.SortFunc(list, func(a, b Elsewhere) int { return cmp.Compare(a.Instance, b.Instance) })
	return list
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// instancesOf gathers what the connectors' statuses say of who wrote them. Shards
// without a connector are in none.
func instancesOf(all []fleet.Status) []Instance {
	by := map[string]*Instance{}
	for i := range all {
		s := &all[i]
		if s.Instance == "" {
			continue
		}
		in := by[s.Instance]
		if in == nil {
			in = &Instance{Instance: s.Instance, Shards: []int{}, Counts: map[schemas.State]int{}, Age: s.Age.Seconds()}
			by[s.Instance] = in
		}
		in.Connectors++
		in.Counts[s.State]++
		if age := s.Age.Seconds(); age <= in.Age {
			in.Age, in.Console = age, s.Console
		}
		if at, ok := slices.BinarySearch(in.Shards, s.Shard); !ok {
			in.Shards = slices.Insert(in.Shards, at, s.Shard)
		}
	}
	list := make([]Instance, 0, len(by))
	for _, in := range by {
		list = append(list, *in)
	}
	slices.SortFunc(list, func(a, b Instance) int { return cmp.Compare(a.Instance, b.Instance) })
	return list
}

// instanceOrders are what instances can be sorted by; they come by name.
var instanceOrders = []order[Instance]{
	{"instance", nil},
	{"connectors", func(a, b Instance) int { return cmp.Compare(a.Connectors, b.Connectors) }},
	{"shards", func(a, b Instance) int { return cmp.Compare(len(a.Shards), len(b.Shards)) }},
	{"age", func(a, b Instance) int { return cmp.Compare(a.Age, b.Age) }},
}

// instanceSorts are what the page offers to sort by.
var instanceSorts = []sortItem{{"instance", "Name"}, {"-connectors", "Most connectors"}, {"-shards", "Most shards"}, {"-age", "Not heard of for longest"}}

// theFleet has a page of the instances, and all else.
func (o *Options) theFleet(s search, now time.Time) Fleet {
	all, _ := o.Board.List(now)
	instances := slices.DeleteFunc(instancesOf(all), func(in Instance) bool { return !s.in(in.Instance, in.Console) })
	f := Fleet{Here: o.Instance, Version: o.Version, Ready: true, paged: s.of(len(instances)), Instances: pick(s, instances, instanceOrders), Rebalances: o.Board.Rebalances(), Shards: o.Shards()}
	if f.Rebalances == nil {
		f.Rebalances = []Rebalance{}
	}
	if err := o.Ready(); err != nil {
		f.Ready, f.NotReady = false, err.Error()
	}
	return f
}

func (o *Options) fleet(w http.ResponseWriter, r *http.Request) {
	s, wrong := parseSearch(r.URL.Query(), instanceOrders, "instance")
	wrong = append(wrong, empty(r.URL.Query(), "sort", "page", "per_page")...)
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "The query cannot be answered.", wrong...)
		return
	}
	answer(w, o.theFleet(s, time.Now()))
}

// fleetLists are what the fleet's page lists, as a stream tells of them, too.
type fleetLists struct {
	Instances  []instanceRow  `json:"instances"`
	Rebalances []rebalanceRow `json:"rebalances"`
	Shards     []Shard        `json:"shards"`
}

type instanceRow struct {
	Instance   string        `json:"instance"`
	Console    string        `json:"console"`
	Connectors int           `json:"connectors"`
	State      schemas.State `json:"state"` // the worst
	States     string        `json:"states"`
	Shards     string        `json:"shards"`
	HeardAt    time.Time     `json:"heard_at"`
}

type rebalanceRow struct {
	At    time.Time `json:"at"`
	Why   string    `json:"why"`
	Moves string    `json:"moves"`
}

func listsOf(f *Fleet, now time.Time) fleetLists {
	l := fleetLists{Instances: []instanceRow{}, Rebalances: []rebalanceRow{}, Shards: f.Shards}
	for _, in := range f.Instances {
		row := instanceRow{Instance: in.Instance, Console: in.Console, Connectors: in.Connectors, HeardAt: now.Add(-time.Duration(in.Age * float64(time.Second))).Round(time.Second).UTC()}
		for _, state := range fleet.WorstFirst {
			if n := in.Counts[state]; n > 0 {
				row.State = cmp.Or(row.State, state)
				row.States += fmt.Sprintf("%d %s ", n, state)
			}
		}
		for _, shard := range in.Shards {
			row.Shards += strconv.Itoa(shard) + " "
		}
		l.Instances = append(l.Instances, row)
	}
	for _, r := range f.Rebalances {
		row := rebalanceRow{At: r.At, Why: r.Why}
		for _, m := range r.Moves {
			row.Moves += fmt.Sprintf("%d from %s to %s\n", m.Shard, m.From, m.To)
		}
		l.Rebalances = append(l.Rebalances, row)
	}
	return l
}
