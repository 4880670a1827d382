package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// statusEvery is how often a connector's status is written though its state has
// not changed: a reader takes one of several times that age for lost.
const statusEvery = 30 * time.Second

// settle is how often is looked whether something is to be done for a connector: it
// gathers the changes of a state into one record.
const settle = 500 * time.Millisecond

// report writes a connector's status.
func (v *serving) report(ctx context.Context, r *running, note func(context.Context, schemas.Record) error) {
	st := v.service.status(r.connector, v.session.Shard)
	r.report = time.Now().Add(statusEvery - rand.N(statusEvery/10))
	_ = note(ctx, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(st.Connector), Value: st.Marshal(), Time: st.UpdatedAt}) // else the session is over
}

// status is how a connector fares here and now.
func (s *Service) status(c *connector, shard int32) schemas.ConnectorStatus {
	p := c.poller.Status()
	st := schemas.ConnectorStatus{
		Connector: c.config.Name, State: p.State, Stage: p.Stage, Message: p.Message, Advice: p.Advice,
		Domain: c.config.Domain, AccountID: cmp.Or(p.AccountID, c.client.AccountID()),
		Events: p.Events, LastEventAt: p.LastEvent, LastPollAt: p.LastPoll,
		LagSeconds: p.Lag.Seconds(), CompleteThrough: p.CompleteThrough, VerifiedThrough: p.VerifiedThrough,
		RateLimit: rateLimit(p.RateLimit), Lateness: p.Lateness,
		Instance: s.settings.instance, Console: s.console(), Shard: int(shard), Since: p.Since, UpdatedAt: time.Now().UTC(),
	}
	if st.State == schemas.StateFailing && st.Stage == stageConfiguration && c.aside == "" {
		st.Message = s.lacking(c, st.Message)
	}
	offset, since, err := c.rest.get()
	if err != nil {
		st.State, st.Stage, st.Message, st.Since = schemas.StateFailing, "Kafka", err.Error(), since
		st.Advice = adviceOffsets
		if api, ok := errors.AsType[*source.APIError](err); ok {
			st.Stage, st.Message, st.Advice = api.Stage, api.Message, api.Advice
		}
	}
	if err == nil {
		if since, troubled := s.instance.Trouble(shard); troubled != nil {
			st.State, st.Stage, st.Message, st.Since = schemas.StateFailing, "Kafka", troubled.Error(), since
			st.Advice = adviceKafka
		}
	}
	if c.config.Paused {
		st.State, st.Stage, st.Message, st.Since = schemas.StatePaused, "", "", since
		st.Advice = ""
		position(&st, offset)
	}
	if st.Since.IsZero() {
		st.Since = st.UpdatedAt
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside.show(&st)
	return st
}

// console is where the console of this instance is reached.
func (s *Service) console() string {
	if s.opts.Console == nil {
		return ""
	}
	return s.opts.Console()
}

// What to do, one sentence each.
const (
	adviceOffsets = "Nothing can be polled from what the offsets topic holds: was it written by a newer version? It is read again each minute."
	adviceKafka   = "Mend what the message names at Kafka (a right, a leader, a topic's setting); it goes on by itself."
	adviceGood    = "Mend it before the next restart: there is no last good configuration then."
	adviceAbsent  = "Give that instance the connector's file, or remove the connector for good."
)

// stageConfiguration is the stage of what the client finds wrong before it asks.
const stageConfiguration = "Configuration"

// lacking says what this instance lacks: another may have it.
func (s *Service) lacking(c *connector, message string) string {
	if _, err := c.config.ClientSecret.Reveal(); err != nil {
		return fmt.Sprintf("%s: instance %s lacks the client secret: %v", message, s.settings.instance, err)
	}
	return message
}

// position fills in what an offset says of a connector that is not polled.
func position(st *schemas.ConnectorStatus, o schemas.Offset) {
	st.AccountID = cmp.Or(o.AccountID, st.AccountID)
	st.Events, st.CompleteThrough, st.VerifiedThrough = o.Events, o.CompleteThrough, o.VerifiedThrough
	if o.Events > 0 {
		st.LastEventAt = o.Through
	}
}

func rateLimit(r source.RateLimit) schemas.RateLimit {
	if r.Limit == 0 {
		return schemas.RateLimit{}
	}
	left := max(r.Reset-time.Since(r.At), 0)
	return schemas.RateLimit{Limit: r.Limit, Remaining: r.Remaining, ResetSeconds: int(left.Seconds())}
}

// Statuses returns how the connectors of this instance's shards fare, by name.
func (s *Service) Statuses() []schemas.ConnectorStatus {
	all := append(s.configured(), s.absent.all()...)
	slices.SortFunc(all, func(a, b schemas.ConnectorStatus) int { return cmp.Compare(a.Connector, b.Connector) })
	return all
}

// configured are the statuses of those that this instance has a configuration
// for.
func (s *Service) configured() []schemas.ConnectorStatus {
	owned := map[int32]bool{}
	for _, sh := range s.Shards() {
		owned[sh.Shard] = true
	}
	var all []schemas.ConnectorStatus
	for name, c := range s.snapshot() {
		shard := producer.PartitionFor(schemas.OffsetKey(name), s.shardCount())
		if owned[shard] {
			all = append(all, s.status(c, shard))
		}
	}
	return all
}

func (s *Service) shardCount() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings.shards
}
