package simulator

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// token is an access token; a zero one is none.
type token struct {
	value   string
	created time.Time
}

// issue returns the tenant's token: the one it has, with its original
// created_at, until that expires or is revoked.
func (t *tenant) issue(now time.Time) (tok, gone token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.value == "" || !now.Before(t.token.created.Add(time.Duration(t.config.TokenLifetime))) {
		gone = t.token
		t.issued++
		t.token = token{
			value: derive(t.maker.seed, "token", t.config.ClientSecret, strconv.Itoa(t.issued),
				strconv.FormatInt(now.UnixNano(), 10)),
			created: now,
		}
	}
	return t.token, gone
}

// valid tells whether value is the tenant's token and has not expired.
func (t *tenant) valid(value string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token.value == value && now.Before(t.token.created.Add(time.Duration(t.config.TokenLifetime)))
}

// revoke returns the token that is no more.
func (t *tenant) revoke() token {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := t.token
	t.token = token{}
	return gone
}

// rotate replaces the secret; tokens made with the old one are revoked.
func (t *tenant) rotate(seed uint64) (secret string, gone token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rotations++
	t.config.ClientSecret = derive(seed, "client_secret", t.name, strconv.Itoa(t.rotations))
	gone, t.token = t.token, token{}
	return t.config.ClientSecret, gone
}

func (t *tenant) hasSecret(secret string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return secret == t.config.ClientSecret
}

// bearer returns the token of "bearer:<token>" or "Bearer <token>".
func bearer(h string) string {
	const scheme = "bearer"
	if len(h) <= len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return ""
	}
	h = h[len(scheme):]
	if h[0] != ':' && h[0] != ' ' {
		return ""
	}
	return strings.TrimSpace(h[1:])
}

// authenticate is the tenant whose token r carries, or nil.
func (s *Server) authenticate(r *http.Request) *tenant {
	value := bearer(r.Header.Get("Authorization"))
	if value == "" {
		return nil
	}
	t, ok := s.tokens.Load(value)
	if !ok || !t.(*tenant).valid(value, s.now()) {
		return nil
	}
	return t.(*tenant)
}

// credentials reads the three documented forms of a client's credentials.
func credentials(r *http.Request, form url.Values) (id, secret string) {
	h := r.Header.Get("Authorization")
	if id, secret, ok := r.BasicAuth(); ok {
		return id, secret
	}
	for part := range strings.SplitSeq(h, ",") {
		name, value, _ := strings.Cut(part, ":")
		switch strings.TrimSpace(name) {
		case "client_id":
			id = strings.TrimSpace(value)
		case "client_secret":
			secret = strings.TrimSpace(value)
		}
	}
	if id == "" && secret == "" {
		return form.Get("client_id"), form.Get("client_secret")
	}
	return id, secret
}

// tokenRequest is the body of a call to the token endpoints, in either form.
func tokenRequest(r *http.Request) (form url.Values, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, false
	}
	form = url.Values{}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		if form, err = url.ParseQuery(string(body)); err != nil {
			return nil, false
		}
	} else if len(body) > 0 {
		var fields map[string]any
		if json.Unmarshal(body, &fields) != nil {
			return nil, false
		}
		for name, v := range fields {
			if text, isText := v.(string); isText {
				form.Set(name, text)
			}
		}
	}
	if v := r.URL.Query().Get("grant_type"); v != "" && !form.Has("grant_type") {
		form.Set("grant_type", v)
	}
	return form, true
}

// client checks the credentials of a call to the token endpoints and answers
// if they are wrong.
func (s *Server) client(w http.ResponseWriter, id, secret string) (*tenant, bool) {
	if id == "" || secret == "" {
		writeStatus(w, 400, "bad request", "Authorization Information is incorrect")
		return nil, false
	}
	t := s.byClient(id)
	if t == nil || !t.hasSecret(secret) {
		writeStatus(w, 401, "Unauthorized", "Authentication Failure")
		return nil, false
	}
	return t, true
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, ok := tokenRequest(r)
	id, secret := credentials(r, form)
	claimed := s.byClient(id)
	s.serve(w, r, claimed, endpointToken, func(w http.ResponseWriter, f *fault) {
		if !ok || form.Get("grant_type") != "client_credentials" {
			writeStatus(w, 400, "bad request", "grant_type is incorrect/absent")
			return
		}
		t, ok := s.client(w, id, secret)
		if !ok {
			return
		}
		tok, gone := t.issue(s.now())
		s.tokens.Delete(gone.value)
		s.tokens.Store(tok.value, t)
		s.respond(w, r, f, mustJSON(struct {
			AccessToken  string `json:"access_token"`
			CreatedAt    string `json:"created_at"`
			ExpiresIn    int64  `json:"expires_in"`
			RefreshToken string `json:"refresh_token"`
			TokenType    string `json:"token_type"`
			AccountID    int64  `json:"account_id"`
		}{
			tok.value, tok.created.UTC().Format("2006-01-02T15:04:05.000Z"),
			int64(time.Duration(t.config.TokenLifetime) / time.Second),
			derive(t.maker.seed, "refresh", tok.value), "bearer", t.maker.account,
		}))
	})
}

func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, _ := tokenRequest(r)
	id, secret := credentials(r, form)
	s.serve(w, r, s.byClient(id), endpointRevoke, func(w http.ResponseWriter, f *fault) {
		t, ok := s.client(w, id, secret)
		if !ok {
			return
		}
		if !t.valid(form.Get("access_token"), s.now()) {
			writeStatus(w, 400, "bad request", "access_token is incorrect/absent")
			return
		}
		s.tokens.Delete(t.revoke().value)
		s.respond(w, r, f, success)
	})
}

func encodeCursor(account, id int64, nonce uint64) string {
	b := strconv.AppendInt([]byte("account_id:::"), account, 10)
	b = strconv.AppendInt(append(b, "--##id:::"...), id, 10)
	if nonce > 0 {
		b = strconv.AppendUint(append(b, "--##n:::"...), nonce, 10)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// decodeCursor returns the id a cursor stands behind.
func decodeCursor(cursor string, account int64) (id int64, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	owner, rest, _ := strings.Cut(string(raw), "--##")
	position, _, _ := strings.Cut(rest, "--##")
	position, isID := strings.CutPrefix(position, "id:::")
	id, err = strconv.ParseInt(position, 10, 64)
	return id, isID && err == nil && owner == "account_id:::"+strconv.FormatInt(account, 10)
}
