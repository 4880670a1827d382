package onelogin

import (
	"context"
	"net"
	"sync"

	"golang.org/x/sync/semaphore"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// bounded dials as long as no more than so many connections are open, and waits
// while there are.
func bounded(dial dialFunc, most int) dialFunc {
	room := semaphore.NewWeighted(int64(most))
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := room.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			room.Release(1)
			return nil, err
		}
		return &counted{Conn: conn, leave: sync.OnceFunc(func() { room.Release(1) })}, nil
	}
}

// counted is a connection that leaves its room to another when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
