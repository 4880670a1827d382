package service

import (
	"maps"
	"slices"

	"onelogin-kafka/source"
)

// account is what the connectors of one OneLogin account have in common: its
// budget. Connectors of one domain are of one account; those of different
// domains are found to be when their tokens say so.
type account struct {
	budget  *source.Budget
	members map[string]*connector // those that are configured and not paused
}

// register puts the connectors of next in place of those of old. The caller
// holds the lock.
func (s *Service) register(old, next map[string]*connector) {
	touched := map[*account]bool{}
	for name, c := range old {
		if next[name] == c {
			continue
		}
		delete(c.account.members, name)
		touched[c.account] = true
		if next[name] == nil {
			maps.DeleteFunc(s.warned, func(pair [2]string, _ bool) bool { return pair[0] == name || pair[1] == name })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		c := next[name]
		if c.account != nil {
			continue
		}
		a := s.domains[c.config.Domain]
		if a == nil {
			a = &account{budget: source.NewBudget(c.config.RateLimit.Share), members: map[string]*connector{}}
			s.domains[c.config.Domain] = a
		}
		c.account, c.poller.Budget = a, a.budget
		if c.config.Paused {
			continue
		}
		for other, oc := range a.members {
			if oc.config.Domain == c.config.Domain {
				s.warnShared(c, other)
				break
			}
		}
		a.members[name] = c
		touched[a] = true
	}
	for a := range touched {
		a.share()
	}
}

// learn looks what account a connector's token is for. It joins the budgets of
// what turns out to be one account.
func (s *Service) learn(c *connector) {
	id := c.client.AccountID()
	if id == c.id.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.id.Store(id)
	name := c.config.Name
	if s.connectors[name] != c {
		return
	}
	a := c.account
	if known := s.accounts[id]; known == nil {
		s.accounts[id] = a
	} else if known != a {
		s.join(known, a)
		a = known
	}
	others := slices.Sorted(maps.Keys(a.members))
	for _, other := range others {
		if other != name && a.members[other].id.Load() == id {
			s.warnShared(c, other)
			break
		}
	}
}

// join makes b a part of a. The caller holds the lock.
func (s *Service) join(a, b *account) {
	a.budget.Join(b.budget)
	maps.Copy(a.members, b.members)
	for _, c := range s.connectors {
		if c.account == b {
			c.account = a
		}
	}
	for domain, x := range s.domains {
		if x == b {
			s.domains[domain] = a
		}
	}
	for id, x := range s.accounts {
		if x == b {
			s.accounts[id] = a
		}
	}
	a.share()
}

// polls notes that a connector's run begins (1) or ends (-1) here.
func (s *Service) polls(c *connector, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.runs += n
	c.account.share()
}

// share gives the budget the smallest share of its connectors. Of an account
// whose other connectors are polled by other instances only a part is ours.
func (a *account) share() {
	share, mine := 1.0, 0
	for _, c := range a.members {
		share = min(share, c.config.RateLimit.Share)
		if c.runs > 0 {
			mine++
		}
	}
	if len(a.members) == 0 {
		return
	}
	a.budget.SetShare(share * float64(max(mine, 1)) / float64(len(a.members)))
}

// warnShared warns once of two connectors that would publish each event of one
// account twice. The caller holds the lock.
func (s *Service) warnShared(c *connector, other string) {
	pair := [2]string{min(c.config.Name, other), max(c.config.Name, other)}
	if s.warned[pair] {
		return
	}
	s.warned[pair] = true
	e := s.opts.Log.Warn().Strs("connectors", pair[:]).Str("domain", c.config.Domain)
	if id := c.id.Load(); id != 0 {
		e = e.Int64("account_id", id)
	}
	e.Msg("two connectors read one OneLogin account: they share its budget, and each publishes its events")
}
