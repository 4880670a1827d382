package service

import (
	"context"

	"onelogin-kafka/source"
)

// accountClient is the API as a connector's poller asks it.
type accountClient struct {
	service   *Service
	connector *connector
}

// Page implements source.Client.
func (a *accountClient) Page(ctx context.Context, q source.Query) (source.Page, error) {
	c := a.connector
	if !c.begun.Load() {
		leave, err := a.service.starts.enter(ctx)
		if err != nil {
			return source.Page{}, err
		}
		defer leave()
		c.begun.Store(true)
	}
	page, err := c.client.Page(ctx, q)
	// Before the answer is counted in the budget.
	a.service.learn(c)
	return page, err
}
