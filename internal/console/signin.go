package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// cookie is the name of the cookie. Browsers take one that begins with __Host-
// only with Secure, and Secure only over TLS: where there is none, which is on
// loopback, both are left away, as Safari would drop the cookie.
func (d *doors) cookie() string {
	if d.opts.CertFile == "" {
		return "onelogin-kafka"
	}
	return "__Host-onelogin-kafka"
}

func (d *doors) setCookie(w http.ResponseWriter, id string, life time.Duration) {
	c := &http.Cookie{ //nolint:gosec // without TLS there is only loopback, and no browser takes a secure cookie there
		Name: d.cookie(), Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: d.opts.CertFile != "", MaxAge: int(life.Seconds()),
	}
	if life <= 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// local is the path to go on at after signing in; one of another host's is none.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

type signInPage struct {
	frame
	Next, Wrong string
}

func (d *doors) signInPage(w http.ResponseWriter, r *http.Request) {
	if d.caller(r).role != nobody {
		http.Redirect(w, r, local(r.FormValue("next")), http.StatusSeeOther)
		return
	}
	d.showSignIn(w, http.StatusOK, signInPage{Next: local(r.URL.Query().Get("next"))})
}

func (d *doors) showSignIn(w http.ResponseWriter, status int, p signInPage) {
	p.frame = frame{Title: "Sign in"}
	d.opts.show(w, status, signInTemplate, p)
}

// signIn takes the token from the body only: what is in a URL is in histories
// and logs.
func (d *doors) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	next := local(r.PostForm.Get("next"))
	if d.opts.Token == nil { // there is nothing to sign in to
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // next is local
		return
	}
	got, sum, wait := d.try(r.RemoteAddr, strings.TrimSpace(r.PostForm.Get("token")))
	if wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		d.showSignIn(w, http.StatusTooManyRequests, signInPage{Next: next, Wrong: "Too many wrong tokens. Try again in " + seconds(wait) + " seconds."})
		return
	}
	if got == nobody {
		d.showSignIn(w, http.StatusUnauthorized, signInPage{Next: next, Wrong: "This is not the token of http.token_file or http.viewer_token_file."})
		return
	}
	d.setCookie(w, d.sessions.begin(got, sum), sessionLife)
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // next is local
}

func (d *doors) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(d.cookie()); err == nil {
		d.sessions.end(cookie.Value)
	}
	d.setCookie(w, "", 0)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
