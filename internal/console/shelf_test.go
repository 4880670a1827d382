package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// shelf keeps connectors as the control log does, in memory.
type shelf struct {
	mu  sync.Mutex
	all map[string]schemas.Connector
	err error // of the next change
}

func newShelf() *shelf { return &shelf{all: map[string]schemas.Connector{}} }

func (s *shelf) etag(name string) string {
	c, err := s.Get(name)
	if err != nil {
		return `"1"`
	}
	return etag(c.Generation)
}

func (s *shelf) Get(name string) (schemas.Connector, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.all[name]; ok {
		return c, nil
	}
	return schemas.Connector{}, fmt.Errorf("connector %w", registry.ErrNotFound)
}

func (s *shelf) Put(_ context.Context, d registry.Draft, generation int64, who registry.Who) (schemas.Connector, error) {
	rec := schemas.Connector{Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Settings: d.Settings, Paused: d.Paused}
	c, problems := config.Recorded(rec, "the form", func() (string, error) { return "x", nil })
	if len(problems) > 0 {
		return rec, problems
	}
	rec.Domain = c.Domain
	return s.change(d.Name, generation, who, func(before schemas.Connector, ok bool) (schemas.Connector, error) {
		rec.Secret = schemas.SealedSecret{Sealed: "ok1.key.sealed", Generation: 1, SealedAt: time.Now()}
		if d.Secret == "" && (!ok || before.Domain != rec.Domain || before.ClientID != rec.ClientID) {
			return rec, registry.ErrSecret
		}
		return rec, nil
	})
}

func (s *shelf) Pause(_ context.Context, name string, paused bool, generation int64, who registry.Who) (schemas.Connector, error) {
	if _, err := s.Get(name); err != nil {
		return schemas.Connector{}, err
	}
	return s.change(name, generation, who, func(c schemas.Connector, _ bool) (schemas.Connector, error) {
		c.Paused = paused
		return c, nil
	})
}

func (s *shelf) Remove(_ context.Context, name string, generation int64, who registry.Who) error {
	if _, err := s.Get(name); err != nil {
		return err
	}
	_, err := s.change(name, generation, who, func(c schemas.Connector, _ bool) (schemas.Connector, error) { return c, nil })
	if err == nil {
		delete(s.all, name)
	}
	return err
}

func (s *shelf) change(name string, generation int64, who registry.Who, do func(schemas.Connector, bool) (schemas.Connector, error)) (schemas.Connector, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return schemas.Connector{}, s.err
	}
	before, ok := s.all[name]
	if before.Generation != generation {
		return before, &registry.ConflictError{Name: name, Seen: generation, Generation: before.Generation, By: before.UpdatedBy, At: before.UpdatedAt}
	}
	after, err := do(before, ok)
	if err != nil {
		return before, err
	}
	after.Generation, after.UpdatedAt, after.UpdatedBy = generation+1, time.Now(), who.By
	s.all[name] = after
	return after, nil
}
