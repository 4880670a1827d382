package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
)

// shown is every way in which a value could come to light.
func shown(t *testing.T, value any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&b, verb+"\n", value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	if text, err = yaml.Marshal(value); err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	log := zerolog.New(&b)
	log.Info().Any("value", value).Interface("again", value).Msg("")
	if object, ok := value.(zerolog.LogObjectMarshaler); ok {
		log.Info().Object("value", object).EmbedObject(object).Msg("")
	}
	if text, ok := value.(fmt.Stringer); ok {
		log.Info().Stringer("value", text).Str("text", text.String()).Msg("")
	}
	console := zerolog.New(zerolog.ConsoleWriter{Out: &b, NoColor: true})
	console.Info().Any("value", value).Msg("")
	return b.String()
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	secret := config.NewSecret(canary)
	type hidden struct {
		secret config.Secret
		deeper struct{ secret config.Secret }
	}
	inside := hidden{secret: secret}
	inside.deeper.secret = secret
	cfg := validConfig()
	cfg.Kafka.SASL = &config.SASL{Password: secret, Token: secret, ClientSecret: secret}
	cfg.HTTP.Token = secret
	for name, value := range map[string]any{
		"secret": secret, "pointer": &secret, "list": []config.Secret{secret}, "map": map[string]config.Secret{"a": secret},
		"unexported field": inside, "config": cfg, "pointer to config": &cfg, "error": fmt.Errorf("%v: %w", secret, errors.New("x")),
	} {
		text := shown(t, value)
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret:\n%s", name, text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s"} {
		if got := fmt.Sprintf(verb, secret); got != "<secret>" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if text, err := yaml.Marshal(cfg.Connectors[0]); err != nil || !strings.Contains(string(text), "client_secret: <secret>\n") {
		t.Errorf("YAML is %s, error %v", text, err)
	}
	if got := fmt.Sprintf("%v", config.Secret{}); got != "" {
		t.Errorf("a secret that is not set prints %q", got)
	}
}

func TestSecretReveal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for _, tt := range []struct{ content, want, err string }{
		{"first", "first", ""},
		{"rotated\n", "rotated", ""},
		{"from windows\r\n", "from windows", ""},
		{" spaces are kept \n", " spaces are kept ", ""},
		{"two\nlines\n", "", "reading secret: " + path + " holds a line break at position 4"},
		{"two line breaks\n\n", "", "reading secret: " + path + " holds a line break at position 16"},
		{"\n", "", "reading secret: " + path + " is empty"},
		{"\r\n", "", "reading secret: " + path + " is empty"},
		{strings.Repeat("x", 64<<10) + "\r\n", strings.Repeat("x", 64<<10), ""},
		{"", "", "reading secret: " + path + " is empty"},
		{strings.Repeat("x", 64<<10+1), "", "reading secret: " + path + " is longer than 65536 bytes"},
		{strings.Repeat("x", 64<<10+3), "", "reading secret: read " + path + ": larger than 65538 bytes"},
	} {
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.NewSecretFile(path).Reveal()
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("got error %v, want %s", err, tt.err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("got %q, %v, want %q", got, err, tt.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := config.NewSecretFile(path).Reveal(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: got error %v", err)
	}
	if _, err := config.NewSecretFile(filepath.Dir(path)).Reveal(); err == nil {
		t.Error("a folder was read as a secret")
	}
	if _, err := (config.Secret{}).Reveal(); !errors.Is(err, config.ErrNoSecret) {
		t.Errorf("not set: got error %v, want ErrNoSecret", err)
	}
	if got, err := config.NewSecret(canary).Reveal(); err != nil || got != canary {
		t.Errorf("a fixed secret: got %q, %v", got, err)
	}
}
