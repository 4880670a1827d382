package config_test

import (
	"testing"

	"onelogin-kafka/internal/config"
)

// TestProxy: a connector's own proxy counts before that of all, and that before
// the environment's.
func TestProxy(t *testing.T) {
	t.Parallel()
	const all = "http://all:3128"
	of := func(url, no string) config.Proxy { return config.Proxy{URL: url, NoProxy: no} }
	for name, tt := range map[string]struct {
		file, connector string
		env             map[string]string
		want            config.Proxy
	}{
		"none":                   {},
		"of all":                 {file: `{url: "http://all:3128/", no_proxy: ".x"}`, want: of(all, ".x")},
		"its own":                {file: `{url: "http://all:3128", no_proxy: ".x"}`, connector: `{url: "https://own"}`, want: of("https://own", ".x")},
		"all but it":             {file: `{url: "http://all:3128"}`, connector: `{no_proxy: "*"}`, want: of(all, "*")},
		"the environment's":      {env: map[string]string{"HTTPS_PROXY": "proxy:3128", "no_proxy": ".y"}, want: of("http://proxy:3128", ".y")},
		"in small letters":       {env: map[string]string{"https_proxy": "http://proxy:3128/"}, want: of("http://proxy:3128", "")},
		"file, not environment":  {file: `{url: "http://all:3128"}`, env: map[string]string{"HTTPS_PROXY": "http://u:p@proxy:3128"}, want: of(all, "")},
		"own, not environment":   {connector: `{url: "http://own"}`, env: map[string]string{"HTTPS_PROXY": "http://u:p@proxy:3128"}, want: of("http://own", "")},
		"HTTP_PROXY is not ours": {env: map[string]string{"HTTP_PROXY": "http://proxy:3128"}},
		"with credentials": {env: map[string]string{"HTTPS_PROXY": "http://us%20er:" + canary + "%40@proxy:3128"},
			want: config.Proxy{URL: "http://proxy:3128", Username: "us er", Password: config.NewSecret(canary + "@")}},
		"with credentials in a file": {file: `{url: "http://all:3128", username: u, password: env:SECRET}`,
			want: config.Proxy{URL: all, Username: "u", Password: config.NewSecret(canary)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "kafka: {brokers: [a:1]}\n"
			if tt.file != "" {
				text += "proxy: " + tt.file + "\n"
			}
			text += "connectors:\n  - {name: acme, domain: acme, client_id: id, client_secret: s"
			if tt.connector != "" {
				text += ", proxy: " + tt.connector
			}
			cfg, err := config.Load(write(t, map[string]string{"config.yaml": text + "}\n"}), func(name string) (string, bool) {
				if value, ok := tt.env[name]; ok {
					return value, true
				}
				return lookup(name)
			})
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.Connectors[0].Proxy
			if !got.Equal(tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if password, err := got.Password.Reveal(); tt.want.Password.IsSet() {
				want, _ := tt.want.Password.Reveal() // a value, no file
				if password != want || err != nil {
					t.Errorf("got another password, error %v", err)
				}
			}
		})
	}
}

// TestProxyOfTheEnvironmentIsWrong: it is told by its name, without its text.
func TestProxyOfTheEnvironmentIsWrong(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"config.yaml": minimal})
	for value, want := range map[string]string{
		"socks5://u:" + canary + "@proxy:1080":    "is neither http nor https; OneLogin is asked through CONNECT, which other proxies do not know",
		"http://u:" + canary + "@proxy:3128/path": "has more than a host and a port; remove path, ? and #",
		"http://u:" + canary + "@":                "is no URL with a host; write it as http://host:port",
		"http://[" + canary:                       "is no URL with a host; write it as http://host:port",
	} {
		_, err := config.Load(path, func(name string) (string, bool) {
			if name == config.EnvHTTPSProxy {
				return value, true
			}
			return lookup(name)
		})
		if want = path + ": proxy.url: the environment variable HTTPS_PROXY " + want; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
