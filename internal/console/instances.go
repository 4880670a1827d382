package console

import (
	"cmp"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
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
	Here      string     `json:"here"`
	Ready     bool       `json:"ready"`
	NotReady  string     `json:"not_ready,omitempty"`
	Version   string     `json:"version"`
	Instances []Instance `json:"instances"`
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

func (o *Options) theFleet(now time.Time) Fleet {
	all, _ := o.Board.List(now)
	f := Fleet{Here: o.Instance, Version: o.Version, Ready: true, Instances: instancesOf(all), Rebalances: o.Board.Rebalances(), Shards: o.Shards()}
	if f.Rebalances == nil {
		f.Rebalances = []Rebalance{}
	}
	if err := o.Ready(); err != nil {
		f.Ready, f.NotReady = false, err.Error()
	}
	return f
}

func (o *Options) fleet(w http.ResponseWriter, _ *http.Request) { answer(w, o.theFleet(time.Now())) }
