package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// Instance is an instance by what the status topic says.
type Instance struct {
	Instance   string                `json:"instance"`
	Connectors int                   `json:"connectors"`
	Shards     []int                 `json:"shards"`
	Counts     map[schemas.State]int `json:"counts"`
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
		in.Age = min(in.Age, s.Age.Seconds())
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
