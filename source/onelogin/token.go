package onelogin

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// tokenMargin is how long before its end a token is no longer used, at most.
	// OneLogin answers with the same token until it has ended, so the margin only
	// spares requests that are on their way at that moment. When within it is left
	// to chance, so that tokens that were made at one time are not asked for at one
	// time.
	tokenMargin = 10 * time.Second
	// minTokenUse is the least time between two token requests that nothing
	// but the token's age calls for.
	minTokenUse = 5 * time.Second
	// unknownTokenUse is how long a token is used that does not say when it
	// ends, up to a quarter less. Asking again is harmless.
	unknownTokenUse = time.Hour
	// maxTokenLife bounds an expires_in; OneLogin's is ten hours.
	maxTokenLife = 30 * 24 * time.Hour
)

// tokens holds the current token and lets one request for a token be under way
// at a time.
type tokens struct {
	flight chan struct{} // one slot: the right to ask

	mu    sync.Mutex
	value string
	until time.Time // used before it
}

func newTokens() tokens { return tokens{flight: make(chan struct{}, 1)} }

// get returns the current token if it is good at now and is not refused.
func (t *tokens) get(now time.Time, refused string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value, t.value != "" && t.value != refused && now.Before(t.until)
}

func (t *tokens) set(value string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value, t.until = value, until
}

func (t *tokens) forget(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}

// token returns a token to use now, asking for one where needed. refused is a
// token that the API has refused; the answer can be the same one again. Tokens
// that were made at one time end at one time: who renews one waits for its turn
// among those that do, and among those that begin.
func (c *Client) token(ctx context.Context, refused string, urgent bool) (string, error) {
	if v, ok := c.tokens.get(c.opts.Now(), refused); ok {
		return v, nil
	}
	select {
	case c.tokens.flight <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-c.tokens.flight }()
	// Another caller may have asked in the meantime.
	if v, ok := c.tokens.get(c.opts.Now(), refused); ok {
		return v, nil
	}
	if c.edge != nil && !urgent {
		if err := c.edge.spread(ctx); err != nil {
			return "", err
		}
	}
	return c.newToken(ctx, urgent)
}

// renewToken asks for a token whatever there is. Somebody waits for it.
func (c *Client) renewToken(ctx context.Context) error {
	select {
	case c.tokens.flight <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.tokens.flight }()
	_, err := c.newToken(ctx, true)
	return err
}

// newToken asks for a token and keeps it. The caller holds the flight.
func (c *Client) newToken(ctx context.Context, urgent bool) (string, error) {
	secret, err := c.readSecret()
	if err != nil {
		return "", err
	}
	a, err := c.do(ctx, request{
		endpoint: endpointToken,
		stage:    stageAuthentication,
		method:   http.MethodPost,
		url:      c.base + "/auth/oauth2/v2/token",
		// OneLogin's own form, the first in its documentation.
		authorization: "client_id:" + c.clientID + ", client_secret:" + secret,
		body:          []byte(`{"grant_type":"client_credentials"}`),
		maxBody:       maxTokenBody,
		urgent:        urgent,
	})
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", c.refusal(stageAuthentication, a, faultOf(a))
	}
	tok, flt, err := decodeToken(a.body)
	switch {
	case flt.failed:
		return "", c.refusal(stageAuthentication, a, flt)
	case err != nil:
		return "", c.unreadable(stageAuthentication, a, err)
	}
	use := tok.use(serverTime(a.header, a.at), rand.Float64())
	c.tokens.set(tok.value, a.at.Add(use))
	if tok.accountID > 0 {
		c.accountID.Store(tok.accountID)
	}
	c.opts.Log.Debug().Dur("use", use).Int64("account_id", tok.accountID).Msg("got a token")
	return tok.value, nil
}

// tokenAnswer is what a token answer says.
type tokenAnswer struct {
	value     string
	createdAt time.Time     // zero: not said
	expiresIn time.Duration // 0: not said
	accountID int64         // 0: not said
}

// use is how long from now the token is used. now is the server's time, so that
// our clock does not matter: a token answer can be hours older than its token
// looks, because OneLogin repeats a living token with its original created_at
// and a constant expires_in. chance is from 0 to 1.
func (t tokenAnswer) use(now time.Time, chance float64) time.Duration {
	if t.expiresIn <= 0 {
		return unknownTokenUse - time.Duration(chance*float64(unknownTokenUse/4))
	}
	left := t.expiresIn
	if !t.createdAt.IsZero() {
		left = min(left, t.createdAt.Add(t.expiresIn).Sub(now))
	}
	return max(left-time.Duration(chance*float64(tokenMargin)), minTokenUse)
}

// Why a body is not a token.
var (
	errTokenJSON  = errors.New("the token answer is not a JSON object")
	errTokenShape = errors.New("the token answer has no usable access_token")
)

// decodeToken reads the flat body of the v2 endpoint and the wrapped one
// ({"status":…,"data":[{…}]}) that the v1 family uses. A fault is an error told
// in a body with status 200, as the v2 endpoint does or did.
func decodeToken(body []byte) (tokenAnswer, fault, error) {
	env, err := readEnvelope(body, func(at int) (int, bool) { return skipValue(body, at, 1) })
	if err != nil {
		return tokenAnswer{}, fault{}, errTokenJSON
	}
	if flt := env.fault(); flt.failed {
		return tokenAnswer{}, flt, nil
	}
	inner := body
	if len(env.data) > 0 {
		inner = env.data
		if inner[0] == '[' {
			var list []json.RawMessage
			if json.Unmarshal(inner, &list) != nil || len(list) != 1 {
				return tokenAnswer{}, fault{}, errTokenShape
			}
			inner = list[0]
		}
	}
	var raw struct {
		AccessToken json.RawMessage `json:"access_token"`
		CreatedAt   json.RawMessage `json:"created_at"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		AccountID   json.RawMessage `json:"account_id"`
	}
	if json.Unmarshal(inner, &raw) != nil {
		return tokenAnswer{}, fault{}, errTokenShape
	}
	var t tokenAnswer
	t.value = looseString(raw.AccessToken)
	if !usableToken(t.value) {
		return tokenAnswer{}, fault{}, errTokenShape
	}
	if at, err := time.Parse(time.RFC3339Nano, looseString(raw.CreatedAt)); err == nil {
		t.createdAt = at
	}
	if n := looseInt(raw.ExpiresIn); n > 0 {
		t.expiresIn = time.Duration(min(n, int64(maxTokenLife/time.Second))) * time.Second
	}
	t.accountID = max(looseInt(raw.AccountID), 0)
	return t, fault{}, nil
}

// usableToken refuses what cannot be part of a header.
func usableToken(s string) bool {
	if s == "" || len(s) > 8192 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// looseString returns the text of a JSON string, "" for anything else.
func looseString(v json.RawMessage) string {
	if len(v) == 0 || v[0] != '"' {
		return ""
	}
	if end, escaped, ok := skipString(v, 0); ok && !escaped && end == len(v) && utf8.Valid(v) {
		return string(v[1 : end-1])
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// looseInt returns an integer written as a number or as a string, 0 for
// anything else.
func looseInt(v json.RawMessage) int64 {
	s := string(v)
	if strings.HasPrefix(s, `"`) {
		s = looseString(v)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
