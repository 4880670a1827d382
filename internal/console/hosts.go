package console

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// known refuses requests by a name that is not ours. A page of an attacker's
// whose name was made to mean this machine (DNS rebinding) is of one origin with
// what is asked by that name, and passes every check of origins.
func (o *Options) known(h http.Handler) http.Handler {
	names := []string{"localhost"}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	if u, err := url.Parse(o.URL); err == nil && o.URL != "" {
		names = append(names, u.Hostname())
	}
	names = append(names, o.Hosts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !addressed(r, names) {
			refuse(w, http.StatusMisdirectedRequest, "This is no name of the console. Use its address, or add the name to http.hosts in the configuration.")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostOf is the name or address that a request is for, without port.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
}

// addressed tells whether a request is for one of the names, for this machine by
// loopback, or for the very address that it came to: what is no name cannot be
// made to mean another machine.
func addressed(r *http.Request, names []string) bool {
	host := hostOf(r)
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) })
	}
	if addr = addr.Unmap(); addr.IsLoopback() || slices.Contains(names, host) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap().WithZone("") == addr.WithZone("")
}
