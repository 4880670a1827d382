package soak

import (
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// TestBrokersChangeAddress: one broker after the other comes back at another
// address, until none of those in the configuration is alive. With a single
// shard, no other shard's trouble makes the instance look for the brokers, and
// the one that waits for its turn speaks to the group's coordinator only. The
// auditor learns the new addresses as any client that stays connected does.
func TestBrokersChangeAddress(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	cluster := kafkatest.Start(t, kafkatest.Options{})
	bootstrap := cluster.Brokers()
	w := New(t, Plan{
		Seed: r.Uint64(), Cluster: cluster, Brokers: bootstrap, Sim: many(r.Uint64(), 9, 5), Settings: quick, SweepWindow: quickWindow, Shards: 1,
	})
	finish := w.Follow(t.Context())
	one := w.Start("one")
	w.Await("the shard owned", 40*time.Second, func() bool { return w.owned() == 1 })
	two := w.Start("two")
	w.Await("the second instance to wait", 20*time.Second, two.Ready)
	if err := w.AwaitProgress(cold); err != nil {
		t.Fatal(err)
	}
	for _, n := range cluster.Nodes() {
		w.move(n)
		ready := wait.Begin()
		if err := w.AwaitProgress(cold); err != nil {
			w.dump()
			t.Fatal(err)
		}
		t.Logf("node %d now at %s: every tenant got on after %s", n.ID, n.Addr(), ready)
	}
	for _, addr := range bootstrap {
		if slices.Contains(cluster.Brokers(), addr) {
			t.Errorf("%s is still in use: no data", addr)
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Errorf("something listens at %s: no data", addr)
		}
	}
	if shards, err := one.Shards(); err != nil || len(shards) != 1 {
		t.Fatalf("the first instance has shards %v, %v: nobody is left to wait", shards, err)
	}
	if err := one.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := wait.Begin()
	if err := w.AwaitProgress(cold); err != nil {
		w.dump()
		t.Fatal(err)
	}
	t.Logf("the one that waited: every tenant got on after %s", killed)
	w.conclude(finish)
	if two.Ended() {
		t.Errorf("the instance ended: %v", two.err)
	}
}

// move gives a broker another address and waits until Kafka can be used.
func (w *World) move(n *kafkatest.Node) {
	w.tb.Helper()
	if err := n.Move(); err != nil {
		w.tb.Fatal(err)
	}
	ctx, cancel := wait.Within(w.tb.Context(), time.Minute)
	defer cancel()
	if err := w.plan.Cluster.WaitReady(ctx); err != nil {
		w.tb.Fatal(err)
	}
}
