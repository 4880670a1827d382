package source

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// However large events are, no more of a repair's is under way at once than its
// room holds: a poll of the same connector does not wait behind it.
func TestRepairsWaitForRoom(t *testing.T) {
	const size = 1 << 20
	within(t, func(t *testing.T, g *rig) {
		var held atomic.Bool
		g.sink.room = 100
		g.sink.delay = func() time.Duration {
			if held.Load() {
				return time.Hour
			}
			return 0
		}
		g.api.add(series(time.Now().UTC().Add(-time.Hour), 1, 1, time.Second)...)
		g.start()
		time.Sleep(time.Minute)
		held.Store(true)
		publish := func(id int64, bytes int) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ev := happening{id: id, created: time.Now().UTC().Add(-48 * time.Hour)}.event()
			ev.Raw = make([]byte, bytes)
			_, err := g.poller.Publish(ctx, &Page{Events: []schemas.Event{ev}}, []int32{0}, Note{})
			return err
		}
		n := int64(0)
		for n < 2*repairBytes/size {
			if err := publish(1000+n, size); errors.Is(err, context.DeadlineExceeded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != repairBytes/size {
			t.Errorf("%d events of %d bytes are under way at once, want %d", n, size, repairBytes/size)
		}
		_ = g.end()
		held.Store(false)
		g.start() // what was under way is void, and so is the room that it took
		time.Sleep(time.Minute)
		held.Store(true)
		if err := publish(2000, 2*repairBytes); err != nil {
			t.Errorf("an event larger than the room, by itself: %v", err)
		}
		_ = g.end()
	})
}
