package source

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkIDs compares s with what it must hold, which is ascending.
func checkIDs(t *testing.T, s *idSet, want []int64) {
	t.Helper()
	if diff := cmp.Diff(want, s.appendTo([]int64{})); diff != "" {
		t.Fatalf("ids (-want +got):\n%s", diff)
	}
	if got := slices.AppendSeq([]int64{}, s.all()); !slices.Equal(got, want) {
		t.Fatalf("all yields %v, want %v", got, want)
	}
	first, last, ok := s.bounds()
	if s.len() != len(want) || ok != (len(want) > 0) || ok && (first != want[0] || last != want[len(want)-1]) {
		t.Fatalf("len %d, bounds %d to %d, %v; want %d ids", s.len(), first, last, ok, len(want))
	}
	for _, id := range want {
		if !s.has(id) {
			t.Fatalf("has(%d) is false", id)
		}
		if id < math.MaxInt64 && s.has(id+1) != contains(want, id+1) {
			t.Fatalf("has(%d) is wrong", id+1)
		}
	}
	for b := range s.firsts {
		n := len(s.appendBlock(nil, b))
		if n > blockIDs || b == len(s.firsts)-1 && n != s.tail {
			t.Fatalf("block %d of %d holds %d ids; tail is %d", b, len(s.firsts), n, s.tail)
		}
	}
}

func contains(ids []int64, id int64) bool {
	_, found := slices.BinarySearch(ids, id)
	return found
}

// idModel is a set beside a sorted slice that the same is done to.
type idModel struct {
	set idSet
	ids []int64
}

func (m *idModel) add(t *testing.T, id int64) {
	i, found := slices.BinarySearch(m.ids, id)
	if got := m.set.has(id); got != found {
		t.Fatalf("has(%d) = %v, want %v", id, got, found)
	}
	if got := m.set.add(id); got == found {
		t.Fatalf("add(%d) = %v, want %v", id, got, !found)
	}
	if !found {
		m.ids = slices.Insert(m.ids, i, id)
	}
}

func (m *idModel) remove(t *testing.T, id int64) {
	i, found := slices.BinarySearch(m.ids, id)
	if got := m.set.remove(id); got != found {
		t.Fatalf("remove(%d) = %v, want %v", id, got, found)
	}
	if found {
		m.ids = slices.Delete(m.ids, i, i+1)
	}
	if m.set.has(id) {
		t.Fatalf("has(%d) after it was removed", id)
	}
}

func TestIDSetAgreesWithASortedSlice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(i int) int64{
		"ascending":      func(i int) int64 { return int64(i) * 3 },
		"descending":     func(i int) int64 { return -int64(i) * 300 },
		"dense":          func(int) int64 { return rnd.Int64N(2000) - 1000 },
		"two sequences":  func(i int) int64 { return int64(i%2)<<40 + int64(i)*5 },
		"many sequences": func(i int) int64 { return int64(i%7)<<50 - int64(i)*5 },
		"anywhere":       func(int) int64 { return int64(rnd.Uint64()) },
		"at the ends": func(int) int64 {
			return []int64{math.MinInt64, math.MaxInt64, 0, -1, 1}[rnd.IntN(5)] + rnd.Int64N(200) - 100
		},
	} {
		t.Run(name, func(t *testing.T) {
			var m idModel
			for i := range 3000 {
				m.add(t, next(i))
				if rnd.IntN(4) == 0 {
					m.remove(t, m.ids[rnd.IntN(len(m.ids))])
				}
				if rnd.IntN(20) == 0 {
					m.remove(t, next(i+1))
				}
				if rnd.IntN(100) == 0 {
					m.set.trim()
				}
				if i%100 == 0 {
					checkIDs(t, &m.set, m.ids)
				}
			}
			checkIDs(t, &m.set, m.ids)
			again := newIDSet(m.ids)
			checkIDs(t, &again, m.ids)
			for len(m.ids) > 0 {
				m.remove(t, m.ids[rnd.IntN(len(m.ids))])
			}
			checkIDs(t, &m.set, []int64{})
			m.add(t, 5)
			checkIDs(t, &m.set, []int64{5})
		})
	}
}

func FuzzIDSet(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, uint8(0))
	f.Add(binary.AppendVarint(binary.AppendVarint(nil, math.MinInt64), math.MaxInt64), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, stride uint8) {
		var m idModel
		var at int64
		for len(data) > 1 {
			op := data[0]
			v, n := binary.Varint(data[1:])
			if n <= 0 {
				break
			}
			data = data[1+n:]
			if op&1 == 0 {
				at = v
			} else {
				at += v
			}
			if op&2 == 0 {
				m.remove(t, at)
				continue
			}
			for range 1 + op>>2 {
				m.add(t, at)
				at += int64(stride)
			}
		}
		if m.ids == nil {
			m.ids = []int64{}
		}
		checkIDs(t, &m.set, m.ids)
	})
}

func TestIDSetIsSmall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const n = 30_000 // a minute at 500 events/s
	for name, tc := range map[string]struct {
		delta func() int64
		most  float64 // bytes per id
	}{
		"deltas of one byte":           {func() int64 { return 1 + rnd.Int64N(127) }, 1.3},
		"deltas of one to three bytes": {func() int64 { return 1 + rnd.Int64N(1<<(7*(1+rnd.IntN(3)))-1) }, 2.4},
		"deltas of three bytes":        {func() int64 { return 1<<14 + rnd.Int64N(1<<21-1<<14) }, 3.4},
	} {
		var s idSet
		id := int64(45192198208)
		for range n {
			id += tc.delta()
			s.add(id)
		}
		if got := float64(s.size()) / n; got > tc.most*1.25 {
			t.Errorf("%s: %.2f bytes per id while it grows, want at most %.2f", name, got, tc.most*1.25)
		}
		s.trim()
		t.Logf("%s: %.2f bytes per id, %.0f MiB for a day", name, float64(s.size())/n, float64(s.size())/n*43.2e6/(1<<20))
		if got := float64(s.size()) / n; got > tc.most {
			t.Errorf("%s: %.2f bytes per id, want at most %.2f", name, got, tc.most)
		}
	}
	few := idSet{}
	for i := range int64(5) {
		few.add(45192198208 + i*1000)
	}
	if few.size() > 64 {
		t.Errorf("5 ids take %d bytes", few.size())
	}
	// In the middle, too, ids that go on ascending fill their blocks.
	var two idSet
	for i := range int64(n / 2) {
		two.add(i * 40)
		two.add(1<<40 + i*40)
	}
	two.trim()
	if got := float64(two.size()) / n; got > 1.6 {
		t.Errorf("two sequences: %.2f bytes per id", got)
	}
}

func BenchmarkIDSet(b *testing.B) {
	for _, tc := range []struct {
		name string
		bits []int
	}{{"1B", []int{7}}, {"1to3B", []int{7, 14, 21}}} {
		rnd := rand.New(rand.NewPCG(1, 2))
		ids := make([]int64, 30_000)
		id := int64(45192198208)
		for i := range ids {
			id += 1 + rnd.Int64N(1<<tc.bits[rnd.IntN(len(tc.bits))]-1)
			ids[i] = id
		}
		shuffled := slices.Clone(ids)
		rnd.Shuffle(len(ids), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		set := newIDSet(ids)
		for order, ids := range map[string][]int64{"ascending": ids, "shuffled": shuffled} {
			b.Run(fmt.Sprintf("has/%s/%s", tc.name, order), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if !set.has(ids[i%len(ids)]) {
						b.Fatal("an id is not known")
					}
				}
			})
			b.Run(fmt.Sprintf("add/%s/%s", tc.name, order), func(b *testing.B) {
				b.ReportAllocs()
				var s idSet
				for i := 0; b.Loop(); i++ {
					if i%len(ids) == 0 {
						s = idSet{}
					}
					s.add(ids[i%len(ids)])
				}
			})
		}
	}
}
