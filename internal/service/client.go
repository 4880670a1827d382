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
	page, err := a.connector.client.Page(ctx, q)
	// Before the answer is counted in the budget.
	a.service.learn(a.connector)
	return page, err
}
