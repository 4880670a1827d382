package producer

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// owners turns an assignment around, and fails if a shard is given twice or
// not at all.
func owners(t *testing.T, shards int32, a map[string][]int32) map[int32]string {
	t.Helper()
	by := map[int32]string{}
	for m, ss := range a {
		for _, s := range ss {
			if other, ok := by[s]; ok {
				t.Fatalf("shard %d is given to %s and %s", s, other, m)
			}
			by[s] = m
		}
	}
	if len(by) != int(shards) {
		t.Fatalf("%d of %d shards are given to somebody", len(by), shards)
	}
	return by
}

func claims(n int) []claim {
	cs := make([]claim, n)
	for i := range cs {
		cs[i] = claim{member: fmt.Sprintf("m%d", i), instance: fmt.Sprintf("i%d", i), generation: -1}
	}
	return cs
}

// next are the claims of members that hold what a gave them.
func next(cs []claim, a map[string][]int32, generation int32) []claim {
	out := append([]claim(nil), cs...)
	for i := range out {
		if owned, ok := a[out[i].member]; ok {
			out[i].owned, out[i].generation = owned, generation
		}
	}
	return out
}

func TestBalanceJoinAndLeaveMoveNoMoreThanTheyMust(t *testing.T) {
	const shards = 32
	even := weights(nil, nil)
	three := balance(shards, claims(3), even)
	before := owners(t, shards, three)

	four := balance(shards, next(claims(4), three, 1), even)
	after := owners(t, shards, four)
	moved := 0
	for s := range before {
		if before[s] != after[s] {
			moved++
			if after[s] != "m3" {
				t.Errorf("shard %d moved from %s to %s, though only m3 joined", s, before[s], after[s])
			}
		}
	}
	if moved > shards/4 {
		t.Errorf("%d shards moved when one of four joined, at most %d must", moved, shards/4)
	}

	left := balance(shards, next(claims(4), four, 2)[:3], even)
	last := owners(t, shards, left)
	for s := range after {
		if after[s] != "m3" && after[s] != last[s] {
			t.Errorf("shard %d of %s moved to %s, though m3 left", s, after[s], last[s])
		}
	}
}

func TestBalanceIsDeterministicAndEven(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		shards := int32(1 + r.IntN(64))
		connectors := map[int32]int{}
		for range r.IntN(3000) {
			connectors[r.Int32N(shards)]++
		}
		cs := claims(1 + r.IntN(6))
		for i := range cs {
			cs[i].generation = int32(r.IntN(3))
			for range r.IntN(20) {
				cs[i].owned = append(cs[i].owned, r.Int32N(shards+2)) // may be claimed twice, or not exist
			}
			if len(cs[i].owned) > 0 && r.IntN(2) == 0 {
				cs[i].events = map[int32]int32{cs[i].owned[0]: r.Int32N(2000)}
			}
		}
		w := weights(connectors, cs)
		a := balance(shards, cs, w)
		owners(t, shards, a)
		shuffled := append([]claim(nil), cs...)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(a, balance(shards, shuffled, w)); diff != "" {
			t.Fatalf("seed %d: another order of members gives another assignment:\n%s", seed, diff)
		}
		total, most, heaviest := int64(0), int64(0), int64(0)
		for s := range shards {
			total += w(s)
			heaviest = max(heaviest, w(s))
		}
		for _, ss := range a {
			load := int64(0)
			for _, s := range ss {
				load += w(s)
			}
			most = max(most, load)
		}
		mean := total / int64(len(cs))
		if most > mean+mean/10+heaviest {
			t.Errorf("seed %d: one member has %d, the mean is %d and the heaviest shard %d", seed, most, mean, heaviest)
		}
	}
}

// A busy shard counts for more than a quiet one with as many connectors.
func TestBalanceCountsRecentEvents(t *testing.T) {
	cs := claims(1)
	connectors := map[int32]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 1}
	cs[0].events = map[int32]int32{0: 400}
	for s := range int32(5) {
		cs[0].owned = append(cs[0].owned, s)
	}
	cs = append(cs, claims(2)[1])
	a := balance(5, cs, weights(connectors, cs))
	if diff := cmp.Diff(map[string][]int32{"m0": {1, 2, 3, 4}, "m1": {0}}, a); diff != "" {
		t.Errorf("assignment differs (-want +got):\n%s", diff)
	}
}

func TestTrafficIsAMeanThatFades(t *testing.T) {
	now := time.Now()
	tr := newTraffic(now)
	tr.add(1000, now)
	if got := tr.perSecond(now); got > 1000/15+5 {
		t.Errorf("one page in no time counts as %d events/s", got)
	}
	for range 1200 { // 100 events/s for 20 minutes
		now = now.Add(time.Second)
		tr.add(100, now)
	}
	if got := tr.perSecond(now); got < 97 || got > 103 {
		t.Errorf("%d events/s, want about 100", got)
	}
	if got := tr.perSecond(now.Add(10 * time.Minute)); got > 1 {
		t.Errorf("%d events/s after ten quiet minutes, want none", got)
	}
	fresh := newTraffic(now)
	for range 30 { // a shard that has just been taken over is soon judged right
		now = now.Add(time.Second)
		fresh.add(100, now)
	}
	if got := fresh.perSecond(now); got < 95 || got > 105 {
		t.Errorf("%d events/s after half a minute, want about 100", got)
	}
}

func TestBalanceTheLastGenerationWins(t *testing.T) {
	cs := claims(2)
	cs[0].generation, cs[0].owned = 5, []int32{0, 1}
	cs[1].generation, cs[1].owned = 6, []int32{1}
	a := balance(2, cs, weights(nil, nil))
	if diff := cmp.Diff(map[string][]int32{"m0": {0}, "m1": {1}}, a); diff != "" {
		t.Errorf("assignment differs (-want +got):\n%s", diff)
	}
}

func TestClaimAndAssignmentReadBack(t *testing.T) {
	want := claim{member: "m", instance: "i", generation: 7, owned: []int32{3, 1, 31}, events: map[int32]int32{3: 0, 1: 500, 31: 7}}
	forms := encodeClaims("onelogin.offsets", 7, want.owned, func(s int32) int32 { return want.events[s] })
	if forms[0].Name != protocolV2 || forms[1].Name != protocolV1 || len(forms) != 2 {
		t.Fatalf("forms: %v", forms)
	}
	for _, form := range forms {
		got := decodeClaim(form.Name, "m", "i", form.Metadata)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(claim{})); diff != "" {
			t.Errorf("claim of %s differs (-want +got):\n%s", form.Name, diff)
		}
		if got := decodeClaim(form.Name, "m", "i", []byte{1, 2, 3}); len(got.owned) != 0 || got.generation != -1 {
			t.Errorf("garbage of %s claims %+v", form.Name, got)
		}
	}
	shards, err := decodeAssignment(encodeAssignment("onelogin.offsets", []int32{5, 2}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{2, 5}, shards); diff != "" {
		t.Errorf("assignment differs (-want +got):\n%s", diff)
	}
}

// The first form is what version 3e192b6 writes and reads, byte for byte.
func TestClaimOfEarlierVersions(t *testing.T) {
	const written = "00010000000100106f6e656c6f67696e2e6f6666736574730000001c00000007000000030000001e00000004000000280000001f0000013600000000"
	forms := encodeClaims("onelogin.offsets", 7, []int32{3, 4, 31}, func(s int32) int32 { return s * 10 })
	if got := hex.EncodeToString(forms[1].Metadata); got != written {
		t.Errorf("got %s, want %s", got, written)
	}
}

// Of a later version's claim what is not known is passed over.
func TestClaimOfALaterVersion(t *testing.T) {
	data := appendField(nil, 99, []byte("something new"))
	data = appendField(data, fieldShards, []byte{0, 0, 0, 3, 0, 0, 0, 30, 0, 0})
	data = appendField(data, fieldGeneration, []byte{0, 0, 0, 7})
	data = appendField(data, 1<<40, nil)
	got := decodeClaim(protocolV2, "m", "i", subscription("onelogin.offsets", data))
	want := claim{member: "m", instance: "i", generation: 7, owned: []int32{3}, events: map[int32]int32{3: 30}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(claim{})); diff != "" {
		t.Errorf("claim differs (-want +got):\n%s", diff)
	}
}

func FuzzDecodeClaim(f *testing.F) {
	for _, form := range encodeClaims("onelogin.offsets", 7, []int32{3, 4}, func(s int32) int32 { return s }) {
		f.Add(form.Name == protocolV2, form.Metadata)
	}
	f.Fuzz(func(t *testing.T, second bool, metadata []byte) {
		c := decodeClaim(map[bool]string{false: protocolV1, true: protocolV2}[second], "m", "i", metadata)
		if len(c.owned) < len(c.events) || c.generation == -1 && len(c.owned) > 0 && !second {
			t.Fatalf("claims %+v", c)
		}
		balance(4, []claim{c}, weights(nil, []claim{c}))
	})
}

// Values computed by org.apache.kafka.common.utils.Utils.murmur2 (its own unit
// test, UtilsTest.testMurmur2).
func TestPartitionForIsKafkasDefault(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
	if got := PartitionFor([]byte("21"), 32); got < 0 || got >= 32 {
		t.Errorf("partition %d out of range", got)
	}
}
