package source

import (
	"cmp"
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
	Verify                   // the comparison with the topic that nobody asked for
)

// reserves are the parts of the even line that a priority leaves to those before
// it. Catching up may thus burst through nine tenths of the share at once, while
// sweeps live on what the tail saves.
var reserves = [...]float64{Tail: 0, CatchUp: 0.1, Sweep: 0.8, Backfill: 0.9, Verify: 0.95}

const (
	// OneLogin documents 5,000 calls per hour and account, in a fixed hour.
	defaultLimit = 5000
	limitWindow  = time.Hour
	// defaultShare leaves half of the account's calls to other tools.
	defaultShare = 0.5
	// spacedBelow is the part of the even line under which tail calls are spaced
	// out, to tailPart of an even spread. The rest is saved for sweeps.
	spacedBelow = 0.9
	tailPart    = 0.8
	// mostSpacing bounds how long a run of many pages puts off the next tail call.
	mostSpacing = 30 * time.Second
	// rounding is how much later than it was told a window may end: Reset tells
	// whole seconds.
	rounding = time.Second
)

// Budget spreads a share of an account's hourly calls over its connectors, so
// that it lasts the hour and leaves room for the customer's other tools. It is
// safe for concurrent use.
//
// Its rule, for a window of the API of which the time t is left:
//
//   - The part is share × limit, at least 1; the limit is 5,000 until the API
//     tells it. No more calls are granted in the window, by all owners together.
//   - The room is what may still be granted: the part less the calls granted, and
//     no more than share × (what the API says is left to all), rounded up. With
//     less than one call of room nothing is granted until the window ends.
//   - The even line is part × t / hour: the room that an even spread would have.
//   - A call is granted while the room is above its priority's reserve: 0 (tail),
//     0.1 (catch-up), 0.8 (sweep), 0.9 (backfill) or 0.95 (verify) of the even
//     line. Else it waits until the line has fallen to there.
//   - Where the room is under 0.9 of the even line, a tail call keeps from the last
//     one by gap × pages, where gap = t / (0.8 × room), and pages counts that call
//     and the catch-up calls since, up to twice as many as were counted before it
//     and one: a run that made up for an outage does not put polls off. It is never
//     held back for longer than gap or 30 s, whichever is more.
//   - A window ends a second after the API says, since that is told in whole
//     seconds; an hour after it was first asked for if the API does not say. An
//     answer with an end more than half an hour later is of the next window.
//   - What an earlier owner's record says of this window (Resume) was granted too.
//     Whatever else is gone was used by others, and does not count as ours.
//   - A refusal (Throttled) holds all calls back, for an hour at most.
//
// It follows that no call is told to wait for longer than an hour, that sweeps and
// backfills leave the tail four fifths of an even spread, and that an owner which
// follows another goes on with the room that one had.
type Budget struct {
	joined atomic.Pointer[Budget] // what counts instead of b; set once

	mu        sync.Mutex
	share     float64
	limit     int           // what the API said, or a record; 0 = nothing yet
	used      int           // calls granted in this window
	resumed   int           // of those, the ones that only records tell of
	remaining int           // what the API said is left, less the calls since; -1 = not in this window
	ends      time.Time     // as told, or guessed while remaining is -1; zero = never asked
	blocked   time.Time     // nothing is granted before
	last      time.Time     // the last tail call granted
	pages     int           // of the run that it began, as far as they count
	most      int           // that pages can become
	eased     chan struct{} // closed when calls that wait should ask again; may be nil
}

// NewBudget returns a budget that uses share (over 0, at most 1; 0.5 if out of
// range) of the account's calls.
func NewBudget(share float64) *Budget {
	return &Budget{share: shareOf(share), remaining: -1}
}

func shareOf(share float64) float64 {
	if !(share > 0 && share <= 1) {
		return defaultShare
	}
	return share
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
	now := time.Now()
	b.turn(now)
	other.turn(now)
	b.share = min(b.share, other.share)
	// The records of both may tell of the same calls.
	b.used += other.used - min(b.resumed, other.resumed)
	b.resumed = max(b.resumed, other.resumed)
	switch {
	case b.remaining < 0 && (other.remaining >= 0 || other.used > 0):
		b.limit, b.remaining, b.ends = cmp.Or(other.limit, b.limit), other.remaining, other.ends
	case other.remaining >= 0:
		b.remaining = min(b.remaining, other.remaining)
	}
	if other.blocked.After(b.blocked) {
		b.blocked = other.blocked
	}
	if other.last.After(b.last) {
		b.last, b.pages, b.most = other.last, other.pages, other.most
	}
	other.joined.Store(b)
	other.ease()
}

// SetShare changes the share (over 0, at most 1; 0.5 if out of range). What was
// granted in this window still counts.
func (b *Budget) SetShare(share float64) {
	b = b.lock()
	defer b.mu.Unlock()
	b.share = shareOf(share)
	b.ease()
}

// Assume takes limit for that of the account until the API says another: an
// earlier owner's record tells it. Without it, calls that were few of a large
// limit could be all of the usual one, and nothing be asked until the window ends.
func (b *Budget) Assume(limit int) {
	b = b.lock()
	defer b.mu.Unlock()
	if b.limit == 0 {
		b.limit = max(limit, 0)
	}
}

// Resume counts what an earlier owner's record says: that by then used calls had
// been granted in the window that ends at ends, by our clock. It may be called
// again with what b has counted itself; the larger number counts. It does nothing
// when that window is over. Instances that poll connectors of one account count
// each its own calls: one that takes over from another in the middle of a window
// may go beyond the part once, by what it had granted before.
func (b *Budget) Resume(used int, ends time.Time) {
	b = b.lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !now.Before(ends.Add(rounding)) {
		return
	}
	b.turn(now)
	if latest := now.Add(limitWindow); ends.After(latest) {
		ends = latest
	}
	if b.remaining < 0 {
		b.ends = ends
	} else if ends.Sub(b.ends).Abs() > limitWindow/2 {
		return // the API told us of another window
	}
	more := max(used-b.used, 0)
	b.used, b.resumed = b.used+more, b.resumed+more
}

// Used is what a record should say for whoever comes next to Resume: the calls
// granted in this window, and when it ends by our clock; zero if there were none.
func (b *Budget) Used() (calls int, ends time.Time) {
	b = b.lock()
	defer b.mu.Unlock()
	if b.turn(time.Now()); b.used == 0 {
		return 0, time.Time{}
	}
	return b.used, b.ends.Round(0).UTC()
}

// Wait takes one call of priority p from the budget, waiting until there is
// one. The error is ctx's.
func (b *Budget) Wait(ctx context.Context, p Priority) error {
	for {
		eased := b.easing()
		d := b.take(p)
		if d == 0 {
			return ctx.Err()
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-eased:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// easing returns what is closed when calls may be granted earlier than was said.
func (b *Budget) easing() <-chan struct{} {
	b = b.lock()
	defer b.mu.Unlock()
	if b.eased == nil {
		b.eased = make(chan struct{})
	}
	return b.eased
}

// ease lets calls that wait ask again.
func (b *Budget) ease() {
	if b.eased != nil {
		close(b.eased)
		b.eased = nil
	}
}

// Delay is how long a call of priority p would have to wait now, as far as can
// be told; at most an hour.
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
		b.last, b.pages, b.most = now, 1, 2*b.pages+1
	case CatchUp:
		b.pages = min(b.pages+1, b.most)
	}
	return 0
}

func (b *Budget) delay(now time.Time, p Priority) time.Duration {
	if d := b.blocked.Sub(now); d > 0 {
		return d
	}
	left := b.turn(now)
	r := b.room()
	if r < 1 {
		return left
	}
	even := b.part() * float64(left) / float64(limitWindow)
	if reserve := reserves[p] * even; r <= reserve {
		wait := float64(left) * (1 - r/reserve)
		return min(max(time.Duration(wait), 10*time.Millisecond), left)
	}
	if p == Tail && r < spacedBelow*even {
		gap := float64(left) / (tailPart * r)
		spacing := max(gap, min(gap*float64(b.pages), float64(mostSpacing)))
		return min(max(b.last.Add(time.Duration(spacing)).Sub(now), 0), left)
	}
	return 0
}

// turn begins a new window if the last is over, and returns what is left of it:
// over 0, at most an hour.
func (b *Budget) turn(now time.Time) time.Duration {
	left := b.ends.Add(rounding).Sub(now)
	if left <= 0 {
		left = limitWindow
		b.used, b.resumed, b.remaining, b.ends = 0, 0, -1, now.Add(limitWindow-rounding)
	}
	return min(left, limitWindow)
}

// room is how many calls may still be granted in this window.
func (b *Budget) room() float64 {
	r := b.part() - float64(b.used)
	if b.remaining >= 0 {
		r = min(r, math.Ceil(float64(b.remaining)*b.share))
	}
	return r
}

// part is how many calls of a window are ours.
func (b *Budget) part() float64 {
	return max(1, float64(cmp.Or(b.limit, defaultLimit))*b.share)
}

// Observe learns from what an answer said of the account's budget; a zero Limit
// says nothing. A Reset of 0 says nothing of the window's end.
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
	b.turn(now)
	b.limit = r.Limit
	ends := at.Add(min(r.Reset, limitWindow))
	switch {
	case r.Reset <= 0:
		// Of a window that has just begun it may say nothing at all: it may have
		// been made at the end of the one before.
		if b.remaining < 0 {
			return
		}
	case !now.Before(ends.Add(rounding)):
		return // of a window that is over
	case ends.Sub(b.ends) > limitWindow/2:
		// The call that was answered is the first of the next window.
		b.used, b.resumed, b.ends = min(b.used, 1), 0, ends
	case b.remaining < 0 || ends.Before(b.ends):
		// Once told, an end only comes nearer: an API that keeps pushing it
		// ahead of us must not hold us for ever.
		b.ends = ends
	}
	b.remaining = max(r.Remaining, 0)
}

// Throttled keeps every call back for d, but for an hour at most: no refusal is
// about more than the API's window.
func (b *Budget) Throttled(d time.Duration) {
	b = b.lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(min(d, limitWindow)); until.After(b.blocked) {
		b.blocked = until
	}
}

// Unblock ends what Throttled began, and lets calls that wait go on: what was
// refused may be granted now, since the secret was changed or a call succeeded.
func (b *Budget) Unblock() {
	b = b.lock()
	defer b.mu.Unlock()
	b.blocked = time.Time{}
	b.ease()
}

// RateLimit is what the API last said, counted on; zero Limit if it said
// nothing yet.
func (b *Budget) RateLimit() RateLimit {
	b = b.lock()
	defer b.mu.Unlock()
	if b.limit == 0 {
		return RateLimit{}
	}
	now := time.Now()
	b.turn(now)
	r := RateLimit{Limit: b.limit, Remaining: b.remaining, Reset: max(b.ends.Sub(now), 0), At: now}
	if b.remaining < 0 {
		r.Remaining = max(b.limit-b.used, 0)
	}
	return r
}
