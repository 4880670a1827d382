package onelogin

import (
	"math"
	"testing"
	"time"
)

// paceTest drives a pace by hand.
type paceTest struct {
	t   *testing.T
	p   pace
	now time.Time
}

func newPaceTest(t *testing.T) *paceTest {
	return &paceTest{t: t, now: time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)}
}

// calls makes n calls within d.
func (x *paceTest) calls(n int, d time.Duration) {
	for range n {
		x.p.sent(x.now)
		x.now = x.now.Add(d / time.Duration(n))
	}
}

func (x *paceTest) refuse(who *Client) { x.p.refused(x.now, x.now, who) }

func (x *paceTest) want(rate float64) {
	x.t.Helper()
	if got := x.p.rate(x.now); math.Abs(got-rate) > 0.011*rate {
		x.t.Errorf("rate is %.2f, want %.2f", got, rate)
	}
}

var one, two = &Client{}, &Client{}

// As long as nothing is refused, nobody is slowed down; and what one connector
// is refused is its own trouble.
func TestPaceWithoutALimit(t *testing.T) {
	x := newPaceTest(t)
	x.calls(5000, time.Second)
	x.want(0)
	for range 100 {
		x.calls(10, time.Second/2)
		x.refuse(one)
	}
	x.want(0)
	// Two of many are not the edge's doing either.
	x.calls(100, time.Second*9/10)
	x.refuse(one)
	x.refuse(two)
	x.want(0)
	// Nor are two that have nothing to do with each other.
	x.calls(10, time.Second)
	x.refuse(one)
	x.now = x.now.Add(time.Second)
	x.refuse(two)
	x.want(0)
	if !x.p.pause().IsZero() {
		t.Error("there is a pause")
	}
}

// The pace becomes what the edge took, though most refusals come after the
// first, and rests until the edge's count has run out.
func TestPaceAfterABurst(t *testing.T) {
	x := newPaceTest(t)
	x.calls(60, 100*time.Millisecond)
	burst := x.now
	x.now = x.now.Add(50 * time.Millisecond)
	for range 40 {
		x.p.refused(x.now, burst, one)
		x.p.refused(x.now, burst, two)
		x.now = x.now.Add(time.Millisecond)
		if x.p.not == 40 {
			break
		}
	}
	cut := x.p.cut
	x.want(20 * cutTo)
	if rest := x.p.pause().Sub(cut); rest < time.Second || rest > 1500*time.Millisecond {
		t.Errorf("the pause is %v", rest)
	}
	x.now = cut.Add(10 * time.Second)
	x.want(20 * (1 + cutTo) / 2)
	x.now = cut.Add(20 * time.Second)
	x.want(20)
	x.now = cut.Add(30 * time.Second)
	x.want(20 * math.Exp(0.5))
	if x.p.recover(x.now) != 0 {
		t.Error("recovered too soon")
	}
	x.now = cut.Add(2 * time.Minute)
	x.want(0)
	if slow := x.p.recover(x.now); slow != 2*time.Minute || x.p.recover(x.now) != 0 {
		t.Errorf("slowed for %v", slow)
	}
	x.calls(5000, time.Second)
	x.want(0)
}

// A further cut waits until what came before the last cannot be its cause. It is
// a small one, unless the edge takes hardly anything.
func TestPaceIsCutAgain(t *testing.T) {
	x := newPaceTest(t)
	x.calls(20, 900*time.Millisecond)
	x.refuse(one)
	x.refuse(two)
	first := x.p.cut
	x.want(18 * cutTo)
	if !x.p.pause().IsZero() {
		t.Error("it rests though most was taken")
	}
	x.calls(18, 900*time.Millisecond)
	x.refuse(one)
	x.refuse(two)
	if x.p.cut != first {
		t.Error("cut twice for one thing")
	}
	x.calls(10, 950*time.Millisecond)
	before := x.p.rate(x.now)
	x.refuse(one)
	x.refuse(two)
	if x.p.cut == first {
		t.Fatal("not cut again")
	}
	x.want(before * 0.9 * cutTo)
	cut := x.now
	x.calls(4, 2*time.Second)
	for range 4 {
		x.p.rate(x.now)
		x.p.sent(x.now)
		x.refuse(one)
		x.refuse(two)
		x.calls(2, 2*time.Second)
	}
	if x.p.cut == cut {
		t.Fatal("not cut again")
	}
	for range 20 {
		x.now = x.now.Add(1100 * time.Millisecond)
		x.p.sent(x.now)
		x.refuse(one)
		x.refuse(two)
	}
	x.want(cutTo * slowest)
}
