package onelogin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Texts of configuration errors. None repeats what was configured: a URL may
// carry a password.
var (
	errNoSecret  = errors.New("no way to read the client secret is given")
	errBadDomain = errors.New("domain is not a host name under onelogin.com (acme, acme.onelogin.com or https://acme.onelogin.com/)")
	errBadBase   = errors.New("base_url is not a URL of scheme, host and path")
	errPlainHTTP = errors.New("base_url must be https; http is for loopback hosts only")
)

type secretError struct{ err error }

func (e secretError) Error() string { return "reading the client secret: " + e.err.Error() }
func (e secretError) Unwrap() error { return e.err }

// Host returns the full host name that a configured domain means. Without an
// explicit base URL only hosts below onelogin.com are taken, because every
// token request carries the secret to that host.
func Host(domain string) (string, error) {
	h := strings.ToLower(strings.TrimSpace(domain))
	h = strings.TrimPrefix(h, "https://")
	h = strings.TrimSuffix(h, "/")
	if !strings.Contains(h, ".") {
		h += ".onelogin.com"
	}
	if !strings.HasSuffix(h, ".onelogin.com") || !validHost(h) {
		return "", errBadDomain
	}
	return h, nil
}

func validHost(h string) bool {
	if len(h) > 253 {
		return false
	}
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
				return false
			}
		}
	}
	return true
}

func baseURL(cfg Config) (string, error) {
	if cfg.BaseURL == "" {
		host, err := Host(cfg.Domain)
		if err != nil {
			return "", err
		}
		return "https://" + host, nil
	}
	// The parser's error holds the text of the URL, so it is not wrapped.
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || strings.Contains(cfg.BaseURL, "#") {
		return "", errBadBase
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback(u.Hostname()) {
			return "", errPlainHTTP
		}
	default:
		return "", errBadBase
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkCredential refuses what cannot travel in OneLogin's Authorization header
// "client_id:<id>, client_secret:<secret>". The error says where it is, and not
// what.
func checkCredential(what, v string) error {
	if v == "" {
		return fmt.Errorf("%s is empty", what)
	}
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || c == ',' {
			return fmt.Errorf("%s holds white space, a comma or something outside ASCII at position %d, which no OneLogin credential has", what, i+1)
		}
	}
	return nil
}
