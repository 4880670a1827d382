package benchmark

import (
	"context"
	"time"
)

const (
	// quietLook is how long the machine must have been quiet, quietBelow what all
	// processes may use meanwhile: brokers and a service that wait are not still.
	quietLook  = time.Second
	quietBelow = quietLook / 5
)

// quiet waits until the machine has nothing to do. The brokers answer long before
// they are done with topics that were made or deleted, and the rest of that work
// would be on the same cores as what is measured next.
func (b *bench) quiet(ctx context.Context) error {
	tick := time.NewTicker(quietLook)
	defer tick.Stop()
	before := machineCPU()
	for began := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := machineCPU()
		used := now - before
		if used < quietBelow {
			return nil
		}
		if time.Since(began) > b.patience {
			b.say("the machine does not get quiet: %s of processor time in the last %s; going on", used, quietLook)
			return nil
		}
		before = now
	}
}
