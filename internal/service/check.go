package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onelogin-kafka/source"
)

// ErrNoConnector is returned (wrapped) for a name that is not configured here.
var ErrNoConnector = errors.New("no such connector in this instance's configuration")

// budgetPatience is how long a check waits for its call.
const budgetPatience = 5 * time.Second

// Check tries what a poller of the connector does, whether its shard is ours or
// not: see onelogin.Client.Check. It takes one call from the account's budget.
// The error is an *source.APIError with the stage, ErrNoConnector, or ctx's.
func (s *Service) Check(ctx context.Context, name string) error {
	s.mu.Lock()
	c, ok := s.connectors[name]
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("checking %s: %w", name, ErrNoConnector)
	}
	wctx, cancel := context.WithTimeout(ctx, budgetPatience)
	defer cancel()
	if c.poller.Budget.Delay(source.Tail) > budgetPatience || c.poller.Budget.Wait(wctx, source.Tail) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &source.APIError{
			Kind: source.Throttled, Stage: "Fetch Logs", Message: "the connector's share of the rate limit is used up",
			Advice: "Wait for the account's window to end, or raise rate_limit.share.",
		}
	}
	err := c.client.Check(ctx, nil)
	s.learn(c)
	if err == nil {
		c.poller.Wake() // whatever it rests for has passed
	}
	return err
}
