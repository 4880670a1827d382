// Package simulator is a OneLogin that runs in-process: its token endpoint, its
// Events API, its hourly budget and its ways to fail, for tests, demos and
// development. It imports nothing of this module: it is an independent server
// and knows only what OneLogin is known to do.
//
// Every event is a pure function of the seed, the tenant and the event's place
// in the tenant's schedule, and the schedule is a function of the clock. So the
// simulator needs no goroutine, holds a million events in no memory, and shows
// the same bytes for the same event for ever. A second simulator with the same
// Config (Start included) shows the same events, as long as traffic was not
// changed while the first one ran.
//
// The simulator keeps the truth: Truth lists every event that exists, with the
// time at which it became visible, so that what a client made of it can be
// judged.
//
// It can have the quirks of a OneLogin that keeps to nothing undocumented, and of
// one in trouble:
//
//   - how events come: late by seconds to an hour (Traffic.Late), back-dated, out
//     of order, with equal times, in a second sequence of ids (Tenant.Second)
//   - what they look like: other forms of id and created_at, events that are not
//     JSON, unknown fields, large ones (Traffic)
//   - how answers are made: the order of pages, clamped, refused or failing page
//     sizes, what an empty page is (Page), since and until rounded, exclusive,
//     inclusive or ignored (Since, Until)
//   - what goes wrong with a call, at random, some times, or some times in a row
//     (FaultSetting): refusals, broken answers, empty pages that lie, ends that
//     come too early, replicas that lag
//   - what stands before it: the hourly budget and the edge (Config)
//
// All of it is in the Config and, under /_sim/, can be changed while it runs: Traffic,
// Page, Since and Until of a tenant by POST /_sim/tenants/{tenant}, faults by POST
// /_sim/faults, the edge by POST /_sim/edge.
//
// Of the parameters of GET /api/1/events it knows since, until, limit, sort,
// after_cursor, before_cursor, event_type_id, user_id and id; all others,
// fields among them, are ignored.
package simulator
