package config_test

import (
	"path/filepath"
	"testing"

	"onelogin-kafka/internal/config"
)

func TestLoadEnvironment(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"ONELOGIN_DOMAIN": "https://acme.onelogin.com/", "ONELOGIN_CLIENT_ID": "id",
		"ONELOGIN_CLIENT_SECRET": canary, "KAFKA_BROKERS": "localhost:9092, b:2",
	}
	secretFile := filepath.Join(filepath.Dir(write(t, map[string]string{"secret": canary + "\n"})), "secret")
	tests := []struct {
		name string
		set  map[string]string
		err  string
		want func(*config.Config)
	}{
		{name: "as it is"},
		{name: "secret in a file", set: map[string]string{"ONELOGIN_CLIENT_SECRET": "", "ONELOGIN_CLIENT_SECRET_FILE": secretFile}, want: func(cfg *config.Config) {
			cfg.Connectors[0].ClientSecret = config.NewSecretFile(secretFile)
		}},
		{name: "base URL", set: map[string]string{"ONELOGIN_BASE_URL": "http://127.0.0.1:1"}, want: func(cfg *config.Config) {
			cfg.Connectors[0].BaseURL = "http://127.0.0.1:1"
		}},
		{name: "both secrets", set: map[string]string{"ONELOGIN_CLIENT_SECRET_FILE": secretFile}, err: "environment: ONELOGIN_CLIENT_SECRET: ONELOGIN_CLIENT_SECRET and ONELOGIN_CLIENT_SECRET_FILE are both set; keep one"},
		{name: "secret file missing", set: map[string]string{"ONELOGIN_CLIENT_SECRET": "", "ONELOGIN_CLIENT_SECRET_FILE": "testdata/none"}, want: func(cfg *config.Config) {
			cfg.Connectors = nil
			cfg.SetAside = []config.SetAside{{Name: "acme", Problems: config.Problems{{
				File: "environment", Path: "ONELOGIN_CLIENT_SECRET_FILE", Message: "testdata/none does not exist; create it or correct the path",
			}}}}
		}},
		{name: "bad domain", set: map[string]string{"ONELOGIN_DOMAIN": "a b"}, err: `environment: ONELOGIN_DOMAIN: "a b" is no account's domain; write it as acme, acme.onelogin.com or https://acme.onelogin.com/`},
		{name: "bad broker", set: map[string]string{"KAFKA_BROKERS": "b"}, err: `environment: KAFKA_BROKERS: "b" is no broker; write it as host:port, e.g. localhost:9092`},
		{name: "nothing", set: map[string]string{"ONELOGIN_DOMAIN": "", "ONELOGIN_CLIENT_ID": "", "ONELOGIN_CLIENT_SECRET": "", "KAFKA_BROKERS": ""}, err: `environment: ONELOGIN_CLIENT_SECRET: is missing; set it, or ONELOGIN_CLIENT_SECRET_FILE
environment: KAFKA_BROKERS: there is none; name at least one, e.g. localhost:9092
environment: ONELOGIN_DOMAIN: is missing; give the account's domain, e.g. acme.onelogin.com
environment: ONELOGIN_CLIENT_ID: is missing; give the client id of the account's API credential`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load("", func(name string) (string, bool) {
				if value, ok := tt.set[name]; ok {
					return value, value != ""
				}
				value, ok := valid[name]
				return value, ok
			})
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := validConfig()
			want.Instance, want.Kafka.Brokers = cfg.Instance, []string{"localhost:9092", "b:2"}
			if tt.want != nil {
				tt.want(&want)
			}
			if d := diff(want, *cfg); d != "" {
				t.Errorf("config (-want +got):\n%s", d)
			}
		})
	}
}
