package main

import (
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// TestWatchingSaysWhatHoldsAJob: whoever waits for a job that does not get on is told
// that nobody serves the connector, or what else holds it, and its end in any case.
func TestWatchingSaysWhatHoldsAJob(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(4, 10, 0))
	file := p.config(t, "")
	cfg := load(t, file)
	cluster, err := service.Cluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	topics := service.Topics(cfg)
	topics.Create = true
	if _, err := topics.Ensure(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	h := &producer.Hand{Cluster: cluster, Topics: topics, Group: cfg.Group}
	now := time.Now().UTC().Truncate(time.Second)
	status := func(state schemas.State, message string, age time.Duration) *schemas.ConnectorStatus {
		return &schemas.ConnectorStatus{State: state, Message: message, LagSeconds: -1, Since: now.Add(-age), UpdatedAt: now.Add(-age)}
	}
	cases := []struct {
		status *schemas.ConnectorStatus
		says   string
	}{
		{nil, "nobody serves connector NAME: the job waits for an instance that does"},
		{status(schemas.StateActive, "", 10*time.Minute), "nobody serves connector NAME: the job waits"},
		{status(schemas.StatePaused, "", 0), "connector NAME is paused: the job waits until it is resumed"},
		{status(schemas.StateFailing, "Credentials error\x1b[2J", 0), "connector NAME is FAILING: the job goes on when it is well: Credentials error"},
	}
	watching, ids := make([]*command, len(cases)), make([]string, len(cases))
	for i, c := range cases {
		name := p.sim.Tenants()[i].Name
		o := schemas.Offset{Domain: name + ".onelogin.com", AccountID: 1, Through: now, LastID: 9, WindowStart: now.Add(-time.Minute), UpdatedAt: now}
		records := []schemas.Record{
			{Topic: schemas.Offsets, Key: schemas.OffsetKey(name), Value: o.Marshal(), Time: now},
			schemas.AuditEntry{At: now, By: "ann", Via: "command", Action: "test", Connector: name}.Record(),
		}
		if c.status != nil {
			c.status.Connector = name
			records = append(records, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Value: c.status.Marshal(), Time: c.status.UpdatedAt})
		}
		shard, err := h.Shard(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Change(t.Context(), shard, func(producer.ShardRecords) ([]schemas.Record, error) { return records, nil }); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // asked for and watched at once
			watching[i] = startCommand(t, "backfill", name, "--from", "48h", "--yes", "--config", file)
			eventually(t, "the job", func() bool {
				ids[i], _, _ = strings.Cut(strings.TrimPrefix(watching[i].errs.String(), "job "), " ")
				return strings.Contains(watching[i].errs.String(), " is asked for\n")
			})
			continue
		}
		code, out, errs := runCommand(t, "backfill", name, "--from", "48h", "--yes", "--detach", "--json", "--config", file)
		if code != exitOK {
			t.Fatalf("got exit %d: %s", code, errs)
		}
		ids[i] = readJob(t, out).ID
		watching[i] = startCommand(t, "jobs", "show", ids[i], "--watch", "--config", file)
	}
	for i, c := range cases {
		eventually(t, c.says, func() bool {
			return strings.Contains(watching[i].errs.String(), strings.ReplaceAll(c.says, "NAME", p.sim.Tenants()[i].Name))
		})
		if strings.Contains(watching[i].errs.String(), "\x1b") {
			t.Errorf("what a status says commands the terminal: %q", watching[i].errs.String())
		}
		expect(t, exitOK, "is cancelled", "jobs", "cancel", ids[i], "--config", file)
		if code := watching[i].wait(); code != exitFail || !strings.Contains(watching[i].out.String(), "cancelled by ") {
			t.Errorf("the watching of a job that is cancelled ends with %d:\n%s", code, watching[i].out.String())
		}
	}
}
