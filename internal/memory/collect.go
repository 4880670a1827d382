package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What lies about until it is collected: what gathers between two looks, which is
// also about the time between two collections, within these bounds. Each collection
// goes through all that is in use.
const (
	look         = 5 * time.Second
	leastGarbage = 64 << 20
	mostGarbage  = 128 << 20
)

// The bounds of what garbage may be, in percent of what is in use.
const (
	leastPercent = 10
	mostPercent  = 100
)

// Collect has Go's runtime collect (GOGC) when as much lies about as is of use,
// until ctx ends. In proportion to what is in use, which is Go's own way, it would
// be hundreds of megabytes where thousands of connectors wait, and gather for a
// minute; where they catch up, collecting sooner would cost more than it saves.
func Collect(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	percent := debug.SetGCPercent(mostPercent)
	defer func() { debug.SetGCPercent(percent) }()
	_, before := heap()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		live, made := heap()
		debug.SetGCPercent(percentOf(live, made-before))
		before = made
	}
}

// percentOf is what garbage may be, in percent of the live bytes, where so many
// bytes were made since the last look.
func percentOf(live, made uint64) int {
	garbage := min(max(made, leastGarbage), mostGarbage)
	return int(min(max(100*garbage/max(live, 1), leastPercent), mostPercent))
}

// heap tells how many bytes were in use after the last collection, and how many
// have been made so far.
func heap() (live, made uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
