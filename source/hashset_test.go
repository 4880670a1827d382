package source

import "testing"

func TestHashSetForgetsTheOldest(t *testing.T) {
	s := hashSet{most: 3}
	for _, h := range []uint64{1, 2, 3, 2, 4} {
		s.add(h)
	}
	for h, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: true} {
		if got := s.has(h); got != want {
			t.Errorf("has(%d) = %v, want %v", h, got, want)
		}
	}
	if len(s.known) != 3 {
		t.Errorf("%d remembered, want 3", len(s.known))
	}
}
