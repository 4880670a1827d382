package onelogin

import (
	"strings"
	"testing"

	"onelogin-kafka/source"
)

func TestNew(t *testing.T) {
	valid := Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return testSecret, nil }}
	tests := []struct {
		name   string
		change func(*Config)
		base   string // empty: refused
	}{
		{"name", func(*Config) {}, "https://acme.onelogin.com"},
		{"host", func(c *Config) { c.Domain = "acme.onelogin.com" }, "https://acme.onelogin.com"},
		{"URL", func(c *Config) { c.Domain = " https://Acme.OneLogin.com/ " }, "https://acme.onelogin.com"},
		{"regional", func(c *Config) { c.Domain = "api.us.onelogin.com" }, "https://api.us.onelogin.com"},
		{"other host", func(c *Config) { c.Domain = "acme.example.com" }, ""},
		{"host that ends alike", func(c *Config) { c.Domain = "evilonelogin.com" }, ""},
		{"bare", func(c *Config) { c.Domain = "onelogin.com" }, ""},
		{"http", func(c *Config) { c.Domain = "http://acme.onelogin.com" }, ""},
		{"path", func(c *Config) { c.Domain = "acme.onelogin.com/x" }, ""},
		{"path before", func(c *Config) { c.Domain = "evil.example/acme.onelogin.com" }, ""},
		{"user", func(c *Config) { c.Domain = "a@acme.onelogin.com" }, ""},
		{"port", func(c *Config) { c.Domain = "acme.onelogin.com:443" }, ""},
		{"empty label", func(c *Config) { c.Domain = "a..onelogin.com" }, ""},
		{"hyphen", func(c *Config) { c.Domain = "-a" }, ""},
		{"long label", func(c *Config) { c.Domain = strings.Repeat("a", 64) }, ""},
		{"empty", func(c *Config) { c.Domain = "" }, ""},
		{"base https", func(c *Config) { c.BaseURL = "https://proxy.example:8443/onelogin/" }, "https://proxy.example:8443/onelogin"},
		{"base 127", func(c *Config) { c.BaseURL = "http://127.0.0.1:80" }, "http://127.0.0.1:80"},
		{"base 127.9", func(c *Config) { c.BaseURL = "http://127.9.9.9" }, "http://127.9.9.9"},
		{"base localhost", func(c *Config) { c.BaseURL = "http://localhost:1/" }, "http://localhost:1"},
		{"base ::1", func(c *Config) { c.BaseURL = "http://[::1]:1" }, "http://[::1]:1"},
		{"base plain", func(c *Config) { c.BaseURL = "http://acme.onelogin.com" }, ""},
		{"base plain address", func(c *Config) { c.BaseURL = "http://10.0.0.1" }, ""},
		{"base plain that looks local", func(c *Config) { c.BaseURL = "http://127.0.0.1.example.com" }, ""},
		{"base other scheme", func(c *Config) { c.BaseURL = "ftp://127.0.0.1" }, ""},
		{"base password", func(c *Config) { c.BaseURL = "https://a:canary@h" }, ""},
		{"base query", func(c *Config) { c.BaseURL = "https://h/?canary=1" }, ""},
		{"base fragment", func(c *Config) { c.BaseURL = "https://h/#" }, ""},
		{"base broken", func(c *Config) { c.BaseURL = "https://canary\x00" }, ""},
		{"base relative", func(c *Config) { c.BaseURL = "/canary" }, ""},
		{"base opaque", func(c *Config) { c.BaseURL = "https:canary" }, ""},
		{"no client id", func(c *Config) { c.ClientID = "" }, ""},
		{"client id with comma", func(c *Config) { c.ClientID = "canary, client_secret:x" }, ""},
		{"client id with line end", func(c *Config) { c.ClientID = "canary\r\n" }, ""},
		{"no secret", func(c *Config) { c.Secret = nil }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := valid
			tt.change(&cfg)
			c, err := New(cfg, Options{})
			if tt.base != "" {
				if err != nil || c.base != tt.base {
					t.Fatalf("got %v, %v; want %s", c, err, tt.base)
				}
				return
			}
			e := apiError(t, err)
			if e.Kind != source.Configuration || e.Stage != "Configuration" || e.Message != "Configuration Error" {
				t.Errorf("got %+v", e)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%v repeats what was configured", err)
			}
		})
	}
}
