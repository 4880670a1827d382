package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onelogin-kafka/internal/config"
)

// given is what a secret's file, variable or value holds, and what becomes of it.
var given = map[string]struct{ text, want, err string }{
	"as it is":                {canary, canary, ""},
	"a line break at the end": {canary + "\n", canary, ""},
	"one of Windows":          {canary + "\r\n", canary, ""},
	"spaces":                  {" a b ", " a b ", ""},
	"a percent sign":          {canary + "%s%d%!v(MISSING)", canary + "%s%d%!v(MISSING)", ""},
	"quotes":                  {`"'` + "`" + `\`, `"'` + "`" + `\`, ""},
	"letters of all scripts":  {"пароль密码ß😀", "пароль密码ß😀", ""},
	"long":                    {strings.Repeat("a", 10_000), strings.Repeat("a", 10_000), ""},
	"part of a reference":     {"${a}b", "${a}b", ""},

	"two line breaks at the end":    {canary + "\n\n", "", "holds a line break at position 15"},
	"a line break within":           {"abc\n" + canary, "", "holds a line break at position 4"},
	"a carriage return at the end":  {canary + "\r", "", "holds a line break at position 15"},
	"a line separator":              {"abc\u2028" + canary, "", "holds a line break at position 4"},
	"a tab":                         {"\t" + canary, "", "holds a tab at position 1"},
	"an escape":                     {"ab\x1b" + canary, "", "holds a control character at position 3"},
	"a no-break space":              {"日本\u00a0" + canary, "", "holds a space that is not the usual one at position 3"},
	"a byte order mark":             {"\ufeff" + canary, "", "holds a byte order mark at position 1"},
	"a zero width space":            {canary + "\u200b", "", "holds an invisible character at position 15"},
	"an override of the direction":  {canary + "\u202e", "", "holds an invisible character at position 15"},
	"a trace of a wrong conversion": {"a\ufffd" + canary, "", "holds a replacement character, the trace of a wrong conversion at position 2"},
	"a private character":           {"a\ue000" + canary, "", "holds a code that is no character at position 2"},
	"no character":                  {"a\U0001ffff" + canary, "", "holds a code that is no character at position 2"},
	"a reference":                   {"${" + canary + "}", "", "is the text of a reference, which nobody has replaced: write env:NAME in the configuration instead"},
	"a reference with a default":    {"${X:-" + canary + "}", "", "is the text of a reference, which nobody has replaced: write env:NAME in the configuration instead"},
	"too long":                      {strings.Repeat("a", 64<<10+1), "", "is longer than 65536 bytes"},
}

// ways has, for each way of giving a password, its configuration and the
// variables that this needs.
var ways = map[string]func(t *testing.T, text string) (path string, env map[string]string){
	"in a file": func(t *testing.T, text string) (string, map[string]string) {
		return write(t, map[string]string{"config.yaml": withPassword("password_file: secret"), "secret": text}), nil
	},
	"in a variable": func(t *testing.T, text string) (string, map[string]string) {
		return write(t, map[string]string{"config.yaml": withPassword("password: env:PASSWORD")}), map[string]string{"PASSWORD": text}
	},
	"in its place": func(t *testing.T, text string) (string, map[string]string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return write(t, map[string]string{"config.yaml": withPassword("password: " + string(quoted))}), nil
	},
}

func withPassword(text string) string {
	return strings.Replace(minimal, "9092]}", "9092], sasl: {mechanism: SCRAM-SHA-256, username: u, "+text+"}}", 1)
}

// loadWith loads a file with some variables beside those of all tests.
func loadWith(path string, env map[string]string) (*config.Config, error) {
	return config.Load(path, func(name string) (string, bool) {
		if value, ok := env[name]; ok {
			return value, true
		}
		return lookup(name)
	})
}

// TestSecretsAreTakenAlike: whatever way a secret is given, the same is taken
// and the same refused, with its position and kind and nothing of the secret.
func TestSecretsAreTakenAlike(t *testing.T) {
	t.Parallel()
	for way, configure := range ways {
		for name, tt := range given {
			path, env := configure(t, tt.text)
			cfg, err := loadWith(path, env)
			if tt.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), tt.err) || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s, %s: got error %v, want one line that ends in %q", way, name, err, tt.err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: got error %v", way, name, err)
				continue
			}
			if got, err := cfg.Kafka.SASL.Password.Reveal(); err != nil || got != tt.want {
				t.Errorf("%s, %s: got %q, %v, want %q", way, name, got, err, tt.want)
			}
		}
	}
}

// What JSON cannot hold, and an environment variable neither in part.
func TestSecretOfAnyBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ab\xff" + canary: "holds a byte that is not UTF-8 at position 3",
		"ab\x00" + canary: "holds a NUL at position 3",
		"\xed\xa0\x80":    "holds a byte that is not UTF-8 at position 1", // half a surrogate pair
	} {
		for _, way := range []string{"in a file", "in a variable"} {
			path, env := ways[way](t, text)
			_, err := loadWith(path, env)
			if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), canary) {
				t.Errorf("%s: got error %v, want one that ends in %q", way, err, want)
			}
		}
	}
	// A file that is rotated while we run is held to the same.
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("ab\x00"+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.NewSecretFile(path).Reveal()
	if odd, ok := errors.AsType[*config.OddError](err); !ok || odd.Position != 3 || odd.Kind != "a NUL" {
		t.Errorf("got error %v, want the NUL at position 3", err)
	}
}

// TestEnvironmentSecretsAreTakenAlike is the same for the variables that name
// one connector without a file; its credential allows less.
func TestEnvironmentSecretsAreTakenAlike(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		canary: "", canary + "\n": "", canary + "\r\n": "",
		canary + "\n\n":     "holds a line break at position 15",
		canary + " ":        "holds a space at position 15, which no OneLogin credential has; copy it again from OneLogin",
		"ab," + canary:      "holds a comma at position 3, which no OneLogin credential has; copy it again from OneLogin",
		"ab\xff" + canary:   "holds a byte that is not UTF-8 at position 3",
		"${" + canary + "}": "is the text of a reference, which nobody has replaced: write env:NAME in the configuration instead",
	} {
		file := filepath.Join(filepath.Dir(write(t, map[string]string{"secret": text})), "secret")
		for _, env := range []map[string]string{{"ONELOGIN_CLIENT_SECRET": text}, {"ONELOGIN_CLIENT_SECRET_FILE": file}} {
			env["ONELOGIN_DOMAIN"], env["ONELOGIN_CLIENT_ID"], env["KAFKA_BROKERS"] = "acme", "id", "b:1"
			cfg, err := config.Load("", func(name string) (string, bool) { value, ok := env[name]; return value, ok })
			if err == nil && len(cfg.SetAside) > 0 {
				err = cfg.Problems()
			}
			switch {
			case want != "":
				if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), canary) {
					t.Errorf("%q: got error %v, want one that ends in %q", text, err, want)
				}
			case err != nil:
				t.Errorf("%q: got error %v", text, err)
			default:
				if got, err := cfg.Connectors[0].ClientSecret.Reveal(); err != nil || got != canary {
					t.Errorf("%q: got %q, %v", text, got, err)
				}
			}
		}
	}
}
