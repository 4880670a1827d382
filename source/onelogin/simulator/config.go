package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Duration is a time.Duration that is written as text ("1.5s") in JSON and YAML.
type Duration time.Duration

// MarshalText writes d as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Config describes a whole simulated OneLogin.
type Config struct {
	// Seed decides everything that looks random.
	Seed uint64 `json:"seed" yaml:"seed"`
	// Start is where backlog ends and live traffic begins. Zero: the time at
	// which New is called. A fixed Start makes a restarted simulator show the
	// same events.
	Start time.Time `json:"start,omitzero" yaml:"start,omitempty"`
	// Tenants are served on one listener and told apart by their token.
	Tenants []Tenant `json:"tenants" yaml:"tenants"`

	// HourlyLimit is the budget of calls of each account, shared by all tenants
	// with its account id. 0: no budget and no X-RateLimit headers.
	HourlyLimit int `json:"hourly_limit" yaml:"hourly_limit"`
	// Exhausted is what a call beyond the budget gets.
	Exhausted ExhaustedForm `json:"exhausted,omitempty" yaml:"exhausted,omitempty"`

	// Edge limits the calls of one address, whatever account they are for.
	Edge EdgeLimit `json:"edge,omitzero" yaml:"edge,omitempty"`

	// Gzip compresses answers for clients that accept it.
	Gzip bool `json:"gzip,omitempty" yaml:"gzip,omitempty"`
	// LinkBase is the scheme and host of next_link and previous_link. Empty:
	// those of the request. OneLogin's examples show a host that is not the
	// subdomain that was asked.
	LinkBase string `json:"link_base,omitempty" yaml:"link_base,omitempty"`
	// RedirectURL is where the redirect fault points.
	RedirectURL string `json:"redirect_url,omitempty" yaml:"redirect_url,omitempty"`
	// TooLargeBytes is the size of a body_too_large answer. 0: 33 MiB.
	TooLargeBytes int `json:"too_large_bytes,omitempty" yaml:"too_large_bytes,omitempty"`
	// Faults are set from the start.
	Faults []FaultSetting `json:"faults,omitempty" yaml:"faults,omitempty"`

	// Now is the clock. nil: time.Now.
	Now func() time.Time `json:"-" yaml:"-"`
	// OnRotate, if set, is told the new secret of a tenant whose secret was
	// rotated, before the answer that shows the rotation is written. It must
	// not call the Server.
	OnRotate func(tenant, secret string) `json:"-" yaml:"-"`
}

// ExhaustedForm is the answer to a call beyond the hourly budget.
type ExhaustedForm string

// The throttle forms seen in the wild. The first is the default.
const (
	Exhausted429     ExhaustedForm = "429"      // JSON, X-RateLimit headers, no Retry-After
	Exhausted429HTML ExhaustedForm = "429_html" // the edge's page, no headers
	Exhausted400     ExhaustedForm = "400"      // status.message rate_limit_exceeded
)

// Tenant is one OneLogin account, or one of several credentials of an account.
// Empty fields are derived from the seed and the name.
type Tenant struct {
	Name         string `json:"name" yaml:"name"`
	Domain       string `json:"domain,omitempty" yaml:"domain,omitempty"`
	AccountID    int64  `json:"account_id,omitempty" yaml:"account_id,omitempty"`
	ClientID     string `json:"client_id,omitempty" yaml:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty" yaml:"client_secret,omitempty"`
	// TokenLifetime is the life of a token from its creation. 0: 10 h.
	TokenLifetime Duration `json:"token_lifetime,omitempty" yaml:"token_lifetime,omitempty"`

	// Backlog events are spread evenly over BacklogSpan (0: 24 h) before Start.
	Backlog     int64    `json:"backlog,omitempty" yaml:"backlog,omitempty"`
	BacklogSpan Duration `json:"backlog_span,omitempty" yaml:"backlog_span,omitempty"`
	// Traffic is how events come, before and after Start.
	Traffic Traffic `json:"traffic" yaml:"traffic"`

	// FirstID is the lower bound of the ids. 0: about 45 billion; BigFirstID is
	// beyond 2^53.
	FirstID int64 `json:"first_id,omitempty" yaml:"first_id,omitempty"`
	// IDGap is the mean distance between neighbouring ids, at least 32. 0: 1000.
	IDGap int64 `json:"id_gap,omitempty" yaml:"id_gap,omitempty"`

	// Second is a second sequence of ids beside the first.
	Second Second `json:"second,omitzero" yaml:"second,omitempty"`

	Page  Page  `json:"page,omitzero" yaml:"page,omitempty"`
	Since Since `json:"since,omitzero" yaml:"since,omitempty"`
	Until Until `json:"until,omitzero" yaml:"until,omitempty"`
}

// Second is a tenant's second ascending sequence of ids, far above the first:
// the order of ids is then not that of time. Only one of its fields is set.
type Second struct {
	// Before: the events that came more than this before Start have ids of the
	// second sequence, as in an account that was moved to a shard with lower ids.
	Before Duration `json:"before,omitempty" yaml:"before,omitempty"`
	// Share is the fraction of events that have ids of the second sequence, as if
	// two shards wrote the account's events.
	Share float64 `json:"share,omitempty" yaml:"share,omitempty"`
}

// BigFirstID is the first id beyond what a float64 holds exactly.
const BigFirstID int64 = 1<<53 + 1

// Page is how a tenant's answers are cut into pages.
type Page struct {
	Default int `json:"default,omitempty" yaml:"default,omitempty"` // without limit; 0: 50
	Max     int `json:"max,omitempty" yaml:"max,omitempty"`         // 0: 1000
	// Reject answers a limit above Max with 400. Otherwise it is lowered.
	Reject bool `json:"reject,omitempty" yaml:"reject,omitempty"`
	// RejectText makes the message of that 400 a text, not an object.
	RejectText bool `json:"reject_text,omitempty" yaml:"reject_text,omitempty"`
	// EndCursor keeps after_cursor on the last page, where next_link is null.
	EndCursor bool `json:"end_cursor,omitempty" yaml:"end_cursor,omitempty"`
	// FullPageLinks gives every full page a next_link, without looking whether
	// anything follows; the run then ends with an empty page.
	FullPageLinks bool `json:"full_page_links,omitempty" yaml:"full_page_links,omitempty"`
	// Descending is the order of answers to requests without sort.
	Descending bool `json:"descending,omitempty" yaml:"descending,omitempty"`
	// Order is the order of answers whatever sort says.
	Order Order `json:"order,omitempty" yaml:"order,omitempty"`
	// Empty is how a page without events is told.
	Empty EmptyForm `json:"empty,omitempty" yaml:"empty,omitempty"`
	// FailAbove lets the server fail at pages of more than so many events, as it
	// does that cannot make them in time; with FailWith. 0: at none. Hits counts
	// it as LargePage.
	FailAbove int      `json:"fail_above,omitempty" yaml:"fail_above,omitempty"`
	FailWith  FailForm `json:"fail_with,omitempty" yaml:"fail_with,omitempty"`
}

// Order is an order of answers.
type Order string

// The orders. The first is by ascending id unless sort asks for the other.
const (
	OrderSort       Order = ""
	OrderDescending Order = "descending" // by descending id, whatever was asked for
	OrderBack       Order = "back"       // pages from the newest to the oldest id, each ascending inside
	OrderShuffled   Order = "shuffled"   // pages by ascending id, in no order inside
)

// EmptyForm is a form of a page without events.
type EmptyForm string

// The forms of a page without events.
const (
	EmptyList         EmptyForm = ""              // "data":[]
	EmptyNull         EmptyForm = "null"          // "data":null
	EmptyNoContent    EmptyForm = "204"           // no body
	EmptyNoPagination EmptyForm = "no_pagination" // "data":[] and no pagination
)

// FailForm is how a page fails that is too large for the server.
type FailForm string

// The forms of failing at a large page. The first is the default.
const (
	Fail504      FailForm = "504"       // the edge's page, after a while
	Fail500      FailForm = "500"       // JSON
	FailTimeout  FailForm = "timeout"   // no answer for ten minutes
	FailTooLarge FailForm = "too_large" // TooLargeBytes of JSON
)

// LargePage is what Hits counts pages by that FailAbove failed.
const LargePage = "large_page"

// Since is how a tenant reads since; the default is created_at >= since.
type Since struct {
	Exclusive bool `json:"exclusive,omitempty" yaml:"exclusive,omitempty"` // created_at > since
	Seconds   bool `json:"seconds,omitempty" yaml:"seconds,omitempty"`     // rounded down to the second first
}

// Until is how a tenant reads until; the default is created_at < until.
type Until struct {
	Ignored   bool `json:"ignored,omitempty" yaml:"ignored,omitempty"`
	Inclusive bool `json:"inclusive,omitempty" yaml:"inclusive,omitempty"` // created_at <= until
	Seconds   bool `json:"seconds,omitempty" yaml:"seconds,omitempty"`     // rounded down to the second first
}

// Traffic is how events come and what they look like. It may change while the
// simulator runs; a change is for events that come after it. Fractions are
// 0 to 1.
type Traffic struct {
	// Rate is in events per second.
	Rate float64 `json:"rate" yaml:"rate"`
	// Jitter: created_at lies up to this much before the event's turn, so that
	// created_at is out of order against id.
	Jitter Duration `json:"jitter,omitempty" yaml:"jitter,omitempty"`
	// Ties is the fraction of groups of TieSize (0: 5, at most 10000) events
	// that share one created_at; all of a group come at once.
	Ties    float64 `json:"ties,omitempty" yaml:"ties,omitempty"`
	TieSize int     `json:"tie_size,omitempty" yaml:"tie_size,omitempty"`
	// Late is the fraction of events that become visible only after a delay,
	// uniformly up to LateBy. Their id and created_at are the early ones.
	Late   float64  `json:"late,omitempty" yaml:"late,omitempty"`
	LateBy Duration `json:"late_by,omitempty" yaml:"late_by,omitempty"`
	// Backdated is the fraction of events whose created_at lies up to BackdatedBy
	// before their turn. Their id and the time at which they are visible are not.
	Backdated   float64  `json:"backdated,omitempty" yaml:"backdated,omitempty"`
	BackdatedBy Duration `json:"backdated_by,omitempty" yaml:"backdated_by,omitempty"`

	// IDAs and CreatedAs are how id and created_at are written.
	IDAs      IDForm   `json:"id_as,omitempty" yaml:"id_as,omitempty"`
	CreatedAs TimeForm `json:"created_as,omitempty" yaml:"created_as,omitempty"`
	// Broken is the fraction of events that are not JSON, in the form BrokenAs.
	Broken   float64    `json:"broken,omitempty" yaml:"broken,omitempty"`
	BrokenAs BrokenForm `json:"broken_as,omitempty" yaml:"broken_as,omitempty"`

	UnknownFields float64 `json:"unknown_fields,omitempty" yaml:"unknown_fields,omitempty"` // fields nobody knows
	UnknownTypes  float64 `json:"unknown_types,omitempty" yaml:"unknown_types,omitempty"`   // event_type_id nobody knows
	Nulls         float64 `json:"nulls,omitempty" yaml:"nulls,omitempty"`                   // null wherever null can be
	Spaced        float64 `json:"spaced,omitempty" yaml:"spaced,omitempty"`                 // insignificant white space
	// Large is the fraction of events whose notes have LargeBytes (0: 1 MiB).
	Large      float64 `json:"large,omitempty" yaml:"large,omitempty"`
	LargeBytes int     `json:"large_bytes,omitempty" yaml:"large_bytes,omitempty"`
}

// Default is a OneLogin with n ordinary tenants (acme, globex, initech,
// tenant-0004, …): a backlog of 1,000 events in the last hour, one event a
// second, a few late, tied and out of order, and the documented budget. The
// ids of the second tenant are beyond 2^53; the third knows only 50 a page.
func Default(n int) Config {
	c := Config{Seed: 1, HourlyLimit: 5000}
	for i := range n {
		t := Tenant{
			Name:        defaultName(i),
			Backlog:     1000,
			BacklogSpan: Duration(time.Hour),
			Traffic: Traffic{
				Rate: 1, Jitter: Duration(800 * time.Millisecond),
				Ties: 0.1, Late: 0.02, LateBy: Duration(30 * time.Second),
			},
		}
		switch i % 3 {
		case 1:
			t.FirstID = BigFirstID
			t.Page.EndCursor, t.Page.FullPageLinks = true, true
		case 2:
			t.Page.Max = 50
			t.Since = Since{Exclusive: true, Seconds: true}
		}
		c.Tenants = append(c.Tenants, t)
	}
	return c
}

func defaultName(i int) string {
	if first := [...]string{"acme", "globex", "initech"}; i < len(first) {
		return first[i]
	}
	return fmt.Sprintf("tenant-%04d", i+1)
}

// complete fills what was left empty. i is the tenant's place in the config.
func (t Tenant) complete(seed uint64, i int) Tenant {
	if t.Domain == "" {
		t.Domain = t.Name + ".onelogin.com"
	}
	if t.AccountID == 0 {
		t.AccountID = 232548 + 7*int64(i)
	}
	if t.ClientID == "" {
		t.ClientID = derive(seed, "client_id", t.Name)
	}
	if t.ClientSecret == "" {
		t.ClientSecret = derive(seed, "client_secret", t.Name, "0")
	}
	t.TokenLifetime = orDefault(t.TokenLifetime, Duration(10*time.Hour))
	t.BacklogSpan = orDefault(t.BacklogSpan, Duration(24*time.Hour))
	t.IDGap = orDefault(t.IDGap, 1000)
	t.FirstID = orDefault(t.FirstID, 44_994_186_000)
	t.Page.Default = orDefault(t.Page.Default, 50)
	t.Page.Max = orDefault(t.Page.Max, 1000)
	t.Page.Default = min(t.Page.Default, t.Page.Max)
	return t
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (t *Tenant) validate() error {
	switch {
	case t.Name == "":
		return errors.New("a tenant has no name")
	case t.Backlog < 0 || t.BacklogSpan < 0 || t.TokenLifetime < 0:
		return fmt.Errorf("tenant %s: a backlog or duration is negative", t.Name)
	case t.FirstID < 0 || t.IDGap < 32:
		return fmt.Errorf("tenant %s: first_id is negative or id_gap below 32", t.Name)
	case t.Second.Before < 0 || !(t.Second.Share >= 0 && t.Second.Share <= 1) || t.Second.Before > 0 && t.Second.Share > 0:
		return fmt.Errorf("tenant %s: second is negative, more than all, or both", t.Name)
	}
	if err := t.rules().validate(); err != nil {
		return fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	if err := t.Traffic.validate(); err != nil {
		return fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	return nil
}

// shaped tells whether events can look like anything but OneLogin's usual ones.
func (t *Traffic) shaped() bool {
	return t.UnknownFields+t.UnknownTypes+t.Nulls+t.Spaced+t.Large+t.Broken+t.Backdated > 0 || t.IDAs != IDNumber || t.CreatedAs != TimeMillis
}

func (t *Traffic) validate() error {
	for name, f := range map[string]float64{
		"ties": t.Ties, "late": t.Late, "unknown_fields": t.UnknownFields, "unknown_types": t.UnknownTypes,
		"nulls": t.Nulls, "spaced": t.Spaced, "large": t.Large, "backdated": t.Backdated, "broken": t.Broken,
	} {
		if !(f >= 0 && f <= 1) {
			return fmt.Errorf("%s is %v, not 0 to 1", name, f)
		}
	}
	switch {
	case !(t.Rate >= 0 && t.Rate <= 1e6):
		return fmt.Errorf("rate is %v, not 0 to 1,000,000", t.Rate)
	case t.Jitter < 0 || t.LateBy < 0 || t.BackdatedBy < 0:
		return errors.New("jitter, late_by or backdated_by is negative")
	case !slices.Contains(idForms, t.IDAs) || !slices.Contains(timeForms, t.CreatedAs) || !slices.Contains(brokenForms, t.BrokenAs):
		return errors.New("id_as, created_as or broken_as is no known form")
	case t.TieSize < 0 || t.TieSize > 10_000:
		return errors.New("tie_size is not 0 to 10,000")
	case t.LargeBytes < 0:
		return errors.New("large_bytes is negative")
	}
	return nil
}
