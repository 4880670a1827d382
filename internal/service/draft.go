package service

import (
	"context"
	"errors"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/source/onelogin"
)

// ErrSecretNeeded is returned for a draft without a secret where there is none to
// stand in for it: it would go to somebody whom it was not given for.
var ErrSecretNeeded = errors.New("the client secret is needed: there is none yet for this domain, base URL and client id")

// draftTries is how many drafts are tried at once.
const draftTries = 4

// CheckDraft tries what a poller of cc would do, configured or not: see
// onelogin.Client.Check. Without a secret it takes the one of the connector of
// its name, which must be of the same account. The error is an *source.APIError
// with the stage, ErrSecretNeeded, or ctx's.
func (s *Service) CheckDraft(ctx context.Context, cc config.Connector) error {
	if !cc.ClientSecret.IsSet() {
		s.mu.Lock()
		c, ok := s.connectors[cc.Name]
		s.mu.Unlock()
		if !ok || c.config.Domain != cc.Domain || c.config.BaseURL != cc.BaseURL || c.config.ClientID != cc.ClientID {
			return ErrSecretNeeded
		}
		cc.ClientSecret = c.config.ClientSecret
	}
	select {
	case s.drafts <- struct{}{}:
		defer func() { <-s.drafts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	cc.Proxy = cc.Proxy.Or(s.proxy())
	client, err := onelogin.New(Account(cc), onelogin.Options{HTTP: s.ways.brief, Log: s.opts.Log, Edges: s.edges, UserAgent: build.UserAgent()})
	if err != nil {
		return err
	}
	return client.Check(ctx, nil)
}

// Names returns the names of the configured connectors, in no order.
func (s *Service) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.connectors))
	for name := range s.connectors {
		names = append(names, name)
	}
	return names
}
