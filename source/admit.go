package source

import (
	"errors"
	"time"
)

var errOtherAccount = errors.New("the events belong to another account than the connector's offset")

// errPlaced tells that a fresh start was placed by our clock, and the server has
// another that is behind it.
var errPlaced = errors.New("the start was placed anew")

// admit looks at a page, which came at at, before anything is made of it.
func (s *session) admit(page *Page, at time.Time) error {
	s.p.learnClock(page.ServerTime, at)
	if !s.ours(page) {
		return &APIError{Kind: Configuration, Stage: "Configuration", Message: "Configuration Error",
			Advice: "Use credentials of the account the connector began with, or give the connector a new name.", Err: errOtherAccount}
	}
	if s.fresh && !s.placed && s.p.clock.known {
		before := s.ledger.through
		if s.place(); s.ledger.through.Sub(before).Abs() > minOverlap {
			return errPlaced
		}
		s.startAt(before)
	}
	return nil
}

// ours tells whether page is of the position's account. The events say so
// themselves; where they do not, the token's answer counts, and where neither
// does, only the domain that the position was made with is known.
func (s *session) ours(page *Page) bool {
	known, told := s.off.AccountID, int64(0)
	if s.p.AccountID != nil {
		told = s.p.AccountID()
	}
	for i := range page.Events {
		if id := page.Events[i].AccountID; id != 0 {
			told = id
			if known != 0 && s.off.Events > 0 && id != known {
				return false
			}
		}
	}
	switch {
	case s.off.Events == 0 || s.fresh:
		return true
	case known != 0 && told != 0:
		return told == known
	}
	return s.off.Domain == "" || s.off.Domain == s.set.Domain
}

// account is what the position is of once page is published.
func (s *session) account(page *Page) int64 {
	if s.off.AccountID != 0 && s.off.Events > 0 {
		return s.off.AccountID
	}
	for i := range page.Events {
		if id := page.Events[i].AccountID; id != 0 {
			return id
		}
	}
	if s.off.AccountID == 0 && s.p.AccountID != nil {
		return s.p.AccountID()
	}
	return s.off.AccountID
}

// prove tells whether what r showed holds against what is known: nil, or why it
// is not believed. What has been gone for long is let go.
func (s *session) prove(r *reading) error {
	v := &r.evidence
	if v.holds() && len(s.vanished) == 0 {
		return nil
	}
	gone := s.vanished.lacking(v, time.Now())
	for _, id := range gone {
		s.gone[id] = struct{}{}
		delete(s.vanished, id)
	}
	if n := len(gone); n > 0 {
		v.left -= n
		s.p.meters.vanished.Add(float64(n))
		s.p.log.Warn().Int("events", n).Int64("first_id", gone[0]).Time("since", r.query.Since).
			Msg("the API does not show events any more that are published: they are not waited for any longer")
	}
	if v.holds() {
		return nil
	}
	return listingError(v.err(s.ledger.through, r.oldest))
}
