package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/preflight"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// openConsole opens the console's listener, and connections of its own: what
// waits for news holds up whoever shares its connection. suggested is what its
// form begins with.
func (in *instance) openConsole(cfg *config.Config, reg prometheus.Gatherer, suggested console.Draft, log zerolog.Logger) error {
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return err
	}
	in.reading = cluster
	in.board = console.NewBoard(fleet.Topic{Cluster: cluster, Name: cfg.Topics.Status.Name}, in.svc.Names, log)
	in.trail = console.NewTrail(cluster, cfg.Topics.Audit.Name, log)
	hand := &producer.Hand{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group}
	in.desk = console.NewDesk(&jobs.Board{Registry: in.svc.Registry(), Hand: hand}, log)
	o := console.Options{
		Listen: cfg.HTTP.Listen, URL: cfg.HTTP.URL, Hosts: cfg.HTTP.Hosts, Registry: reg, Ready: in.svc.Ready, Log: log,
		Instance: cfg.Instance, Version: build.Read().Version, Board: in.board, Trail: in.trail, Control: in.svc.Registry(), Suggested: suggested,
		Positions: &movesOf{cfg: cfg, hand: hand},
		Desk:      in.desk,
		Shards:    func() []console.Shard { return shardsOf(in.svc) },
		Check:     func(ctx context.Context, name string) (console.Check, bool) { return checkConnector(ctx, in.svc, name) },
		CheckDraft: func(ctx context.Context, d console.Draft) (console.Check, []console.FieldProblem) {
			return checkDraft(ctx, in.svc, d)
		},
	}
	if cfg.HTTP.TLS != nil {
		o.CertFile, o.KeyFile = cfg.HTTP.TLS.CertFile, cfg.HTTP.TLS.KeyFile
	}
	if cfg.HTTP.Token.IsSet() {
		o.Token = cfg.HTTP.Token.Reveal
	}
	if cfg.HTTP.ViewerToken.IsSet() {
		o.ViewerToken = cfg.HTTP.ViewerToken.Reveal
	}
	if in.web, err = console.Listen(o); err != nil {
		cluster.Close()
		return err
	}
	in.address = cfg.HTTP.Address(in.web.Addr())
	return nil
}

func shardsOf(svc *service.Service) []console.Shard {
	shards := []console.Shard{}
	for _, s := range svc.Shards() {
		cs := console.Shard{Shard: s.Shard, Since: s.Since, State: s.State.String()}
		if s.Err != nil {
			cs.Error = s.Err.Error()
		}
		shards = append(shards, cs)
	}
	return shards
}

// checkConnector tests a connector's connection for the console.
func checkConnector(ctx context.Context, svc *service.Service, name string) (console.Check, bool) {
	began := time.Now()
	err := svc.Check(ctx, name)
	if errors.Is(err, service.ErrNoConnector) {
		return console.Check{}, false
	}
	return checkOf(ctx, name, err, began), true
}

// checkDraft tests what was typed into the console.
func checkDraft(ctx context.Context, svc *service.Service, d console.Draft) (console.Check, []console.FieldProblem) {
	secret := d.ClientSecret
	if secret == "" {
		secret = "of-the-one-there-is" // there may be one: all else is judged
	}
	cc, problems := config.Recorded(schemas.Connector{
		Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Settings: d.Settings,
	}, "the form", func() (string, error) { return secret, nil })
	if len(problems) > 0 {
		var wrong []console.FieldProblem
		for _, p := range problems {
			wrong = append(wrong, console.FieldProblem{Field: p.Path, Detail: p.Message})
		}
		return console.Check{}, wrong
	}
	if d.ClientSecret == "" {
		cc.ClientSecret = config.Secret{}
	}
	began := time.Now()
	err := svc.CheckDraft(ctx, cc)
	if errors.Is(err, service.ErrSecretNeeded) {
		return console.Check{}, []console.FieldProblem{{Field: "client_secret", Detail: "is missing; enter the client secret: there is none yet for this domain, base URL and client id"}}
	}
	return checkOf(ctx, d.Name, err, began), nil
}

// checkOf is the result of a connection test in DNIF's words.
func checkOf(ctx context.Context, name string, err error, began time.Time) console.Check {
	result := console.Check{Connector: name, OK: err == nil, Message: "Connection successful", At: began, Took: time.Since(began).Seconds()}
	// The test has a deadline of its own: that it has passed is OneLogin's doing.
	if f := preflight.FailureOf(context.WithoutCancel(ctx), err); f != nil {
		result.Stage, result.Message, result.Advice, result.Cause, result.RequestID = f.Stage, f.Message, f.Advice, f.Cause, f.RequestID
	}
	return result
}

// movesOf moves positions for the console.
type movesOf struct {
	cfg  *config.Config
	hand *producer.Hand
}

// planPatience is how long Kafka may take to say that it is there.
const planPatience = 5 * time.Second

// Plan implements console.Positions.
func (m *movesOf) Plan(ctx context.Context, name string, target position.Target) (console.Move, error) {
	// Counting takes its time; that nobody is there is told at once.
	rctx, cancel := context.WithTimeout(ctx, planPatience)
	defer cancel()
	if _, failure := preflight.Reachable(rctx, m.hand.Cluster); failure != nil {
		return console.Move{}, errors.New(failure.String())
	}
	c, shards, err := planned(ctx, m.cfg, &position.Editor{Hand: m.hand}, name, target)
	if err != nil {
		return console.Move{}, err
	}
	return console.Move{Plan: c.Plan, Shards: shards, Again: c.again, Repeat: c.repeat, Calls: c.calls}, nil
}

// Apply implements console.Positions.
func (m *movesOf) Apply(ctx context.Context, move console.Move, by registry.Who) error {
	e := &position.Editor{Hand: m.hand, By: by.By, Via: by.Via, Reason: by.Reason}
	return e.Apply(ctx, []position.Plan{move.Plan}, move.Shards)[move.Plan.Before.Connector]
}
