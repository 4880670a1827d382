package wire

import (
	"context"
	"time"
)

// currentEvery is how often the brokers are asked for at least. It is less than
// it takes brokers to move one after the other.
const currentEvery = 10 * time.Second

// KeepCurrent asks for the brokers and leaders now and then until ctx ends. An
// instance that has nothing to write sends to one broker only: were the others
// to change their addresses meanwhile and then that one, every address it knew
// would be dead.
func (c *Cluster) KeepCurrent(ctx context.Context) {
	tick := time.NewTicker(currentEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = c.Refresh(ctx) // what is not to be had is asked for again
		}
	}
}
