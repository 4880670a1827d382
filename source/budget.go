package source

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Priority says what a call is for. When the budget runs short, a higher value
// waits first.
type Priority uint8

// The priorities, most urgent first.
const (
	Tail     Priority = iota // the quick poll for new events
	CatchUp                  // the further pages of a tail poll
	Sweep                    // the re-read of the window
	Backfill                 // whatever an operator asked for
)

// reserves are the parts of the even line (what would be left if the share were
// spent evenly until the window ends) that a priority leaves to those before
// it. Catching up may thus burst through nine tenths of the share at once, while
// sweeps live on what the tail saves.
var reserves = [...]float64{Tail: 0, CatchUp: 0.1, Sweep: 0.8, Backfill: 0.9}

const (
	// OneLogin documents 5,000 calls per hour and account, in a fixed hour.
	defaultLimit = 5000
	limitWindow  = time.Hour
	// defaultShare leaves half of the account's calls to other tools.
	defaultShare = 0.5
	// spacedBelow is the part of the even line under which tail calls are spaced
	// out, so that their runs keep to tailPart of an even spread. The rest is
	// saved for sweeps.
	spacedBelow = 0.9
	tailPart    = 0.8
	// mostSpacing bounds how long a run of many pages puts off the next tail call.
	mostSpacing = 30 * time.Second
	// trickle is the part of the even line that is left to an owner who cannot
	// know what others have used for it.
	trickle = 0.05
	// sameWindow is how far two answers may differ about the end of a window.
	sameWindow = time.Minute
)

// Budget spreads a share of an account's hourly calls over its connectors. It
// is safe for concurrent use. At most share × limit calls are granted within a
// window of the API. When the API says that little is left, calls are spaced so
// that share of it would last until the window ends: the budget never runs into
// the wall by itself, and leaves room for the customer's other tools.
type Budget struct {
	joined atomic.Pointer[Budget] // what counts instead of b; set once

	mu        sync.Mutex
	share     float64
	limit     int
	used      int       // calls granted in this window
	remaining int       // what the API said is left, less the calls since; -1 = not known
	began     time.Time // when this window was first seen
	ends      time.Time
	last      time.Time // the last tail call granted
	pages     int       // of the runs since then, with that call
	usual     int       // such pages, as far as they were usual before that call
	blocked   time.Time // nothing is granted before
	observed  RateLimit
	// strict tells that the calls which are gone when the next answer comes may
	// all have been made for us.
	strict bool
}

// NewBudget returns a budget that uses share (over 0, at most 1; 0.5 if out of
// range) of the account's calls.
func NewBudget(share float64) *Budget {
	if !(share > 0 && share <= 1) {
		share = defaultShare
	}
	return &Budget{share: share, limit: defaultLimit, remaining: -1}
}

// lock locks the budget that counts for b, and returns it.
func (b *Budget) lock() *Budget {
	for {
		for next := b.joined.Load(); next != nil; next = b.joined.Load() {
			b = next
		}
		b.mu.Lock()
		if b.joined.Load() == nil {
			return b
		}
		b.mu.Unlock()
	}
}

// joining lets one Join at a time hold two budgets.
var joining sync.Mutex

// Join makes b and other one budget, for good: two that turn out to be of one
// account. What both have granted counts, with the smaller share.
func (b *Budget) Join(other *Budget) {
	joining.Lock()
	defer joining.Unlock()
	b = b.lock()
	defer b.mu.Unlock()
	for next := other.joined.Load(); next != nil; next = other.joined.Load() {
		other = next
	}
	if other == b {
		return
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	b.share = min(b.share, other.share)
	if other.blocked.After(b.blocked) {
		b.blocked = other.blocked
	}
	if other.last.After(b.last) {
		b.last, b.pages, b.usual = other.last, other.pages, other.usual
	}
	b.strict = b.strict || other.strict
	switch {
	case other.began.IsZero():
	case b.began.IsZero() || b.observed.Limit == 0 && other.observed.Limit > 0:
		used := b.used
		b.limit, b.remaining, b.observed = other.limit, other.remaining, other.observed
		b.began, b.ends = other.began, other.ends
		b.used = used + other.used
	default:
		b.used += other.used
		if b.remaining >= 0 && other.remaining >= 0 {
			b.remaining = min(b.remaining, other.remaining)
		}
	}
	other.joined.Store(b)
}

// SetShare changes the share (over 0, at most 1; 0.5 if out of range). What was
// granted in this window still counts.
func (b *Budget) SetShare(share float64) {
	if !(share > 0 && share <= 1) {
		share = defaultShare
	}
	b = b.lock()
	defer b.mu.Unlock()
	b.share = share
}

// TakeOver says that another process may have made calls of this account for
// us. When the next answer comes, whatever is gone of the account's calls counts
// as ours, but for a trickle: so that owners that follow each other together
// keep to the share, and one that cannot know still polls.
func (b *Budget) TakeOver() {
	b = b.lock()
	defer b.mu.Unlock()
	b.strict, b.remaining = true, -1
}

// Wait takes one call of priority p from the budget, waiting until there is
// one. The error is ctx's.
func (b *Budget) Wait(ctx context.Context, p Priority) error {
	for {
		d := b.take(p)
		if d == 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// Delay is how long a call of priority p would have to wait now, as far as can
// be told.
func (b *Budget) Delay(p Priority) time.Duration {
	b = b.lock()
	defer b.mu.Unlock()
	return b.delay(time.Now(), p)
}

// take takes a call and returns 0, or returns how long to wait before asking
// again.
func (b *Budget) take(p Priority) time.Duration {
	b = b.lock()
	defer b.mu.Unlock()
	now := time.Now()
	if d := b.delay(now, p); d > 0 {
		return d
	}
	b.used++
	if b.remaining > 0 {
		b.remaining--
	}
	switch p {
	case Tail:
		b.last, b.usual, b.pages = now, b.expected(), 1
	case CatchUp:
		b.pages++
	}
	return 0
}

func (b *Budget) delay(now time.Time, p Priority) time.Duration {
	if d := b.blocked.Sub(now); d > 0 {
		return d
	}
	// A window that the API keeps pushing ahead of us must not hold us for ever.
	if b.began.IsZero() || !now.Before(b.ends) || now.Sub(b.began) >= limitWindow {
		b.open(now, now.Add(limitWindow))
	}
	left := b.ends.Sub(now)
	r := b.room()
	if r < 1 {
		return left
	}
	// With even calls left over the window's length on the even line, what is
	// left after this call must not fall under the reserve's part of it.
	even := b.allowance() * float64(left) / float64(limitWindow)
	if reserve := reserves[p] * even; r <= reserve {
		wait := float64(left) * (1 - r/reserve)
		return min(max(time.Duration(wait), 10*time.Millisecond), left)
	}
	if p == Tail && r < spacedBelow*even {
		return min(max(b.last.Add(b.spacing(left, r)).Sub(now), 0), left)
	}
	return 0
}

// spacing is how far the next tail call keeps from the last when r calls are
// left for the time left. The pages that the last run took count, or a busy
// account with small pages would use its share up early and leave the end of the
// hour to a trickle; and the longer between two runs, the fewer calls they take.
func (b *Budget) spacing(left time.Duration, r float64) time.Duration {
	one := float64(left) / (r * tailPart)
	return time.Duration(max(one, min(one*float64(b.expected()), float64(mostSpacing))))
}

// expected is how many pages a run is likely to take: those of the last, unless
// it was out of the ordinary, such as the one that made up for an outage.
func (b *Budget) expected() int { return min(b.pages, 2*b.usual+1) }

// room is how many calls may still be granted in this window.
func (b *Budget) room() float64 {
	r := b.allowance() - float64(b.used)
	if b.remaining >= 0 {
		r = min(r, math.Ceil(float64(b.remaining)*b.share))
	}
	return r
}

func (b *Budget) allowance() float64 { return max(1, float64(b.limit)*b.share) }

// open begins a new window.
func (b *Budget) open(now, ends time.Time) {
	b.began, b.ends = now, ends
	b.used, b.remaining = 0, -1
}

// Observe learns from what an answer said of the account's budget; a zero Limit
// says nothing.
func (b *Budget) Observe(r RateLimit) {
	if r.Limit <= 0 {
		return
	}
	b = b.lock()
	defer b.mu.Unlock()
	now := time.Now()
	at := r.At
	if at.IsZero() || at.After(now) {
		at = now
	}
	b.observed, b.observed.At = r, at
	b.limit = r.Limit
	ends := at.Add(r.Reset)
	switch {
	case r.Reset <= 0:
		// Without an end it says nothing of the window we count in. If that has
		// just begun, since Reset tells whole seconds, it is of the one before.
		if b.remaining < 0 {
			return
		}
	case b.began.IsZero() || ends.Sub(b.ends) > sameWindow:
		b.open(now, ends)
		b.inherit(1, r)
	case b.remaining < 0:
		b.inherit(b.used, r)
		b.ends = ends
	default:
		b.ends = ends
	}
	b.remaining = max(r.Remaining, 0)
}

// inherit guesses what an owner before us has used of a window that was already
// running: at most what is gone, and at most what an even spread would have
// used by now; in doubt whether there was one, all but a trickle. own is what we
// have used ourselves.
func (b *Budget) inherit(own int, r RateLimit) {
	gone := max(r.Limit-r.Remaining, 0)
	left := min(float64(r.Reset)/float64(limitWindow), 1)
	most := b.allowance() * (1 - left)
	if b.strict {
		most = b.allowance() * (1 - trickle*left)
	}
	b.used, b.strict = max(own, min(gone, int(most))), false
}

// Throttled keeps every call back for d.
func (b *Budget) Throttled(d time.Duration) {
	b = b.lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(d); until.After(b.blocked) {
		b.blocked = until
	}
}

// RateLimit is what the API last said, counted on; zero Limit if it said
// nothing yet.
func (b *Budget) RateLimit() RateLimit {
	b = b.lock()
	defer b.mu.Unlock()
	r := b.observed
	if r.Limit == 0 {
		return r
	}
	now := time.Now()
	if b.remaining >= 0 {
		r.Remaining = b.remaining
	}
	r.Reset = max(b.ends.Sub(now), 0)
	r.At = now
	return r
}
