package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// oneloginDomain is what every account's host name ends with.
const oneloginDomain = ".onelogin.com"

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// normaliseDomain returns the host name that acme, acme.onelogin.com and
// https://acme.onelogin.com/ all mean.
func normaliseDomain(text string) (string, error) {
	domain := strings.ToLower(strings.TrimSpace(text))
	domain = strings.TrimPrefix(domain, "https://")
	domain = strings.TrimSuffix(domain, "/")
	if !hostName.MatchString(domain) || len(domain) > 253 {
		return "", errors.New("is no account's domain; write it as acme, acme.onelogin.com or https://acme.onelogin.com/")
	}
	if !strings.Contains(domain, ".") {
		domain += oneloginDomain
	}
	return domain, nil
}

// normaliseBaseURL returns the URL without a slash at its end.
func normaliseBaseURL(text string) (string, error) {
	u, err := parseURL(text)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// normaliseOrigin is normaliseBaseURL of what has no path.
func normaliseOrigin(text string) (string, error) {
	u, err := parseURL(text)
	if err != nil {
		return "", err
	}
	if u.Path != "" && u.Path != "/" {
		return "", errors.New("has a path; the console's pages begin at /")
	}
	return u.Scheme + "://" + u.Host, nil
}

// Address is where people, and the pages of other instances, reach the console
// that listens at l: URL, or else what Listen names; empty where that is every
// address of this machine.
func (h *HTTP) Address(l net.Addr) string {
	if h.URL != "" {
		return h.URL
	}
	host, _, err := net.SplitHostPort(h.Listen)
	if addr, perr := netip.ParseAddr(host); err != nil || host == "" || perr == nil && addr.IsUnspecified() {
		return ""
	}
	_, port, err := net.SplitHostPort(l.String()) // that of Listen may be 0
	if err != nil {
		return ""
	}
	scheme := "http"
	if h.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// checkTokenURL says what keeps text from being a token endpoint.
func checkTokenURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL takes https with a host and maybe a path, and http to this machine.
// The errors do not hold the text, since a URL can hold a password.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Opaque != "" {
		return nil, errors.New("is no URL with a host; write it as https://host or https://host:port/path")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("has more than a host and a path; remove user, password, ? and #")
	}
	if port := u.Port(); port != "" && !isPort(port, 1) {
		return nil, errors.New("has no valid port; use 1 to 65535")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme == "http":
		return nil, errors.New("is plain http to another host; use https (http is for loopback only)")
	default:
		return nil, errors.New("is neither https nor http; use https")
	}
	return u, nil
}

// isLoopback tells whether a host is certainly this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func isPort(text string, least int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= least && n <= 65535
}

// splitHostPort takes host:port apart. The port is at least least.
func splitHostPort(text string, least int) (host string, ok bool) {
	host, port, err := net.SplitHostPort(text)
	return host, err == nil && isPort(port, least) && !strings.ContainsAny(host, "/@ ")
}
