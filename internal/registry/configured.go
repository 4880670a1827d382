package registry

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// Configured returns the connectors of the log as they can be polled, and those
// that are set aside: whose record cannot be read, is not valid or cannot be
// opened here. Both are by name.
func (r *Registry) Configured() ([]config.Connector, []config.SetAside) {
	return r.judged(r.configured)
}

// Known is Configured with the secrets closed until one is used, whose error says
// then what is wrong with it: for who asks for a few of many, or has no key.
func (r *Registry) Known() ([]config.Connector, []config.SetAside) { return r.judged(r.known) }

// judged sorts the connectors by what judge finds of each.
func (r *Registry) judged(judge func(schemas.Connector) result) ([]config.Connector, []config.SetAside) {
	list, broken := r.List(), r.Broken()
	results := make([]result, len(list))
	// Opening and reading are what costs.
	var wg sync.WaitGroup
	slots := runtime.GOMAXPROCS(0)
	for part := range slots {
		wg.Go(func() {
			for i := part; i < len(list); i += slots {
				results[i] = judge(list[i])
			}
		})
	}
	wg.Wait()
	var good []config.Connector
	var aside []config.SetAside
	for i, res := range results {
		if len(res.problems) == 0 {
			good = append(good, res.connector)
			continue
		}
		aside = append(aside, config.SetAside{Name: list[i].Name, Problems: res.problems})
	}
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		aside = append(aside, config.SetAside{Name: name, Problems: config.Problems{{File: r.place(name), Message: broken[name].Error()}}})
	}
	slices.SortFunc(aside, func(a, b config.SetAside) int { return cmp.Compare(a.Name, b.Name) })
	return good, aside
}

// result is what became of a record, kept for as long as it and the keys are the
// same.
type result struct {
	sealed    *seal.Ring
	value     string
	connector config.Connector
	problems  config.Problems
}

func (r *Registry) configured(c schemas.Connector) result {
	value, ring := string(c.Marshal()), r.Ring()
	if known, ok := r.results.Load(c.Name); ok && known.(result).value == value && known.(result).sealed == ring {
		return known.(result)
	}
	res := r.recorded(c, config.Recorded)
	res.sealed, res.value = ring, value
	r.results.Store(c.Name, res)
	return res
}

func (r *Registry) known(c schemas.Connector) result { return r.recorded(c, config.Closed) }

func (r *Registry) recorded(c schemas.Connector, judge func(schemas.Connector, string, func() (string, error)) (config.Connector, config.Problems)) (res result) {
	ring, bound := r.Ring(), r.bound(c)
	res.connector, res.problems = judge(c, r.place(c.Name), func() (string, error) { return ring.Open(c.Secret.Sealed, bound) })
	return res
}
