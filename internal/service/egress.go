package service

import (
	"crypto/x509"
	"net/http"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/source/onelogin"
)

// Transport returns what carries requests to OneLogin as a configuration wants it.
func Transport(cfg *config.Config, l onelogin.Limits) *http.Transport {
	if len(cfg.Authorities) == 0 {
		return onelogin.NewTransport(l, nil)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any: its own must do
	}
	roots.AppendCertsFromPEM(cfg.Authorities)
	return onelogin.NewTransport(l, roots)
}

// Account is a connector as its client takes it.
func Account(c config.Connector) onelogin.Config {
	return onelogin.Config{
		Domain: c.Domain, BaseURL: c.BaseURL, ClientID: c.ClientID, Secret: c.ClientSecret.Reveal,
		Proxy: onelogin.Proxy{URL: c.Proxy.URL, No: c.Proxy.NoProxy, Username: c.Proxy.Username, Password: c.Proxy.Password.Reveal},
	}
}

// traced logs a connector's requests; nil unless the configuration wants it.
func (s *Service) traced(name string) func(onelogin.Exchange) {
	if !s.settings.requests {
		return nil
	}
	return func(x onelogin.Exchange) { tellRequest(&s.opts.Log, name, x) }
}

func tellRequest(log *zerolog.Logger, name string, x onelogin.Exchange) {
	e := log.Info().Str("connector", name).Str("method", x.Method).Str("path", x.Path).Str("code", x.Code)
	if x.Status != 0 {
		e.Int("status", x.Status).Int("bytes", x.Bytes)
	}
	if x.RequestID != "" {
		e.Str("request_id", x.RequestID)
	}
	e.Dur("took_ms", x.Took).Msg("request to OneLogin")
}

// proxy is that of all connectors.
func (s *Service) proxy() config.Proxy {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if s.control.files == nil {
		return config.Proxy{}
	}
	return s.control.files.Proxy
}
