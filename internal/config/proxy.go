package config

import (
	"crypto/x509"
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Proxy is the way to OneLogin, which is asked to open it with CONNECT.
type Proxy struct {
	// URL is http or https with a host, and without credentials; empty = none.
	URL string `yaml:"url"`
	// Username and Password are what the proxy wants to know.
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// NoProxy are the hosts that are reached without it, as the variable
	// NO_PROXY has them.
	NoProxy string `yaml:"no_proxy"`
}

// Or is p with what it leaves open taken from all, the proxy of all connectors.
func (p Proxy) Or(all Proxy) Proxy {
	if p.URL == "" {
		p.URL, p.Username, p.Password = all.URL, all.Username, all.Password
	}
	if p.NoProxy == "" {
		p.NoProxy = all.NoProxy
	}
	return p
}

// Equal tells whether p and o are the same way.
func (p Proxy) Equal(o Proxy) bool {
	same := p.Password.Equal(o.Password)
	p.Password, o.Password = Secret{}, Secret{}
	return same && p == o
}

// The variables that count where the configuration says nothing of a proxy, also
// in small letters.
const (
	EnvHTTPSProxy = "HTTPS_PROXY" // as proxy.url, maybe with user and password
	EnvNoProxy    = "NO_PROXY"    // as proxy.no_proxy
)

// proxies validates the proxy of all connectors and takes from the environment
// what the configuration leaves open.
func (l *loader) proxies(p *Proxy, at place) {
	l.proxy(p, at)
	if p.URL == "" && !at.sub("url").given() {
		l.proxyOfEnvironment(p, at.sub("url"))
	}
	if _, value := l.eitherCase(EnvNoProxy); p.NoProxy == "" && !at.sub("no_proxy").given() {
		p.NoProxy = value
	}
}

func (l *loader) eitherCase(name string) (as, value string) {
	for _, as := range []string{name, strings.ToLower(name)} {
		if value, ok := l.env(as); ok && value != "" {
			return as, value
		}
	}
	return name, ""
}

func (l *loader) proxyOfEnvironment(p *Proxy, at place) {
	name, value := l.eitherCase(EnvHTTPSProxy)
	if value == "" {
		return
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value // host:port is usual there
	}
	u, err := url.Parse(value)
	if err == nil && u.User != nil {
		p.Username = u.User.Username()
		given, _ := u.User.Password()
		password, odd := secretText(given)
		if odd != nil {
			at.problem("the password in the environment variable %s %v", name, odd)
		}
		p.Password = NewSecret(password)
		u.User = nil
	}
	if err == nil {
		p.URL, err = proxyURL(u.String())
	} else {
		err = errNoURL
	}
	if err != nil {
		at.problem("the environment variable %s %v", name, err)
	}
}

var errNoURL = errors.New("is no URL with a host; write it as http://host:port")

// proxyURL returns the URL without what says nothing.
func proxyURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Opaque != "":
		return "", errNoURL
	case u.User != nil:
		return "", errors.New("has a user or a password; write them as username and password_file")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", errors.New("has more than a host and a port; remove path, ? and #")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("is neither http nor https; OneLogin is asked through CONNECT, which other proxies do not know")
	case u.Port() != "" && !isPort(u.Port(), 1):
		return "", errors.New("has no valid port; use 1 to 65535")
	}
	return u.Scheme + "://" + u.Host, nil
}

// noProxyText is a list of names, addresses and networks.
var noProxyText = regexp.MustCompile(`^[A-Za-z0-9._:/*\[\], -]*$`)

func (l *loader) proxy(p *Proxy, at place) {
	if p.URL != "" {
		text, err := proxyURL(p.URL)
		if err != nil {
			at.sub("url").problem("%v", err)
		}
		p.URL = text
	}
	if !noProxyText.MatchString(p.NoProxy) {
		at.sub("no_proxy").problem("is no list of hosts; write names, addresses or networks with commas between them, or *")
	}
	username, password := at.sub("username"), at.sub("password")
	switch {
	case p.Username == "" && !p.Password.IsSet():
		return
	case p.URL == "":
		if !at.sub("url").reported() {
			at.sub("url").problem("is missing; username and password go with it")
		}
		return
	case p.Username == "":
		username.problem("is missing; give the name that the proxy knows us by")
	case strings.Contains(p.Username, ":"):
		username.problem("holds a colon, which no proxy's user can have")
	default:
		if err := firstOdd(p.Username, oddKind); err != nil {
			username.problem("%v", err)
		}
	}
	l.secret(p.Password, true, password)
}

// authorities reads the file of those that are trusted besides the system's.
func (l *loader) authorities(cfg *Config, at place) {
	if cfg.CAFile == "" {
		return
	}
	content, err := l.read(cfg.CAFile, maxFile)
	switch {
	case err != nil:
		at.problem("%s", reason(cfg.CAFile, err))
	case !x509.NewCertPool().AppendCertsFromPEM(content):
		at.problem("%s holds no certificate; use a file in PEM form", cfg.CAFile)
	default:
		cfg.Authorities = content
	}
}
