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
// Of the parameters of GET /api/1/events it knows since, until, limit, sort,
// after_cursor, before_cursor, event_type_id, user_id and id; all others,
// fields among them, are ignored.
package simulator
