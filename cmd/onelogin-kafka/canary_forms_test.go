package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
)

// leaf is a value of the configuration: its path, "connectors[].name" for what is
// in a list, and its type.
type leaf struct {
	path string
	kind reflect.Type
}

// leaves are the configuration's values, found by its type, so that none can be
// forgotten.
func leaves(t reflect.Type, path string) []leaf {
	switch {
	case t.Kind() == reflect.Pointer:
		return leaves(t.Elem(), path)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return leaves(t.Elem(), path+"[]")
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[config.Secret]() || t == reflect.TypeFor[config.StartFrom]():
		return []leaf{{path, t}}
	}
	var all []leaf
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			all = append(all, leaves(t.Field(i).Type, strings.TrimPrefix(path+"."+name, "."))...)
		}
	}
	return all
}

// secretPaths are the values that are secrets, and the files that are: private
// keys.
func secretPaths() (values, files []string) {
	for _, l := range leaves(reflect.TypeFor[config.Config](), "") {
		name := l.path[strings.LastIndex(l.path, ".")+1:]
		switch {
		case l.kind == reflect.TypeFor[config.Secret]():
			values = append(values, l.path)
		case strings.Contains(name, "key_") || strings.Contains(name, "password") || strings.Contains(name, "secret"):
			files = append(files, l.path)
		}
	}
	return values, files
}

// marker is what is looked for of the secret at a path: letters and digits, which
// nothing escapes.
func marker(path string) string {
	return "cnry" + hex.EncodeToString([]byte(path))[:min(2*len(path), 24)] + fmt.Sprintf("x%dz", len(path))
}

// traces are the forms in which a marker could come out.
func traces(marker string) []string {
	all := []string{marker, hex.EncodeToString([]byte(marker))}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", shift) + marker + "---"))
		all = append(all, text[4:len(text)-8])
	}
	return all
}

// form is a way in which a secret can be ugly.
type form struct {
	name string
	of   func(marker string) string
	// odd is what config check says of it; empty where it is taken.
	odd string
	// where has what is said where less is allowed: of credentials ("onelogin")
	// and bearer tokens ("bearer").
	where map[string]string
}

func forms() []form {
	both := func(text string) map[string]string { return map[string]string{"onelogin": text, "bearer": text} }
	bearer := func(text string) map[string]string { return map[string]string{"bearer": text} }
	joined := func(with string) func(string) string { return func(m string) string { return m + with + m } }
	const not = "a character that no bearer token has"
	return []form{
		{name: "plain", of: func(m string) string { return m }},
		{name: "line break at the end", of: func(m string) string { return m + "\n" }},
		{name: "line break of Windows", of: func(m string) string { return m + "\r\n" }},
		{name: "10 kB", of: func(m string) string { return strings.Repeat(m, 10_000/len(m)) }},
		{name: "percent", of: joined("%s%d%!v(EXTRA)%"), where: bearer(not)},
		{name: "quotes", of: joined(`"'` + "`"), where: bearer(not)},
		{name: "backslashes", of: joined(`\n\x00\`), where: bearer(not)},
		{name: "spaces", of: func(m string) string { return " " + m + "  " + m }, where: both("a space")},
		{name: "comma", of: joined(","), where: map[string]string{"onelogin": "a comma", "bearer": not}},
		{name: "userinfo", of: func(m string) string { return "https://" + m + ":" + m + "@host/?" + m }, where: bearer(not)},
		{name: "a key", of: func(m string) string { return m + ":" + m + "#" }, where: bearer(not)},
		{name: "an anchor", of: func(m string) string { return "*" + m }, where: bearer(not)},
		{name: "a tag", of: func(m string) string { return "!" + m }, where: bearer(not)},
		{name: "a flow mapping", of: func(m string) string { return "{" + m + ":" + m + "}" }, where: bearer(not)},
		{name: "letters of all scripts", of: joined("密ß\u05d0"), where: both("a character outside ASCII")},
		{name: "two line breaks at the end", of: func(m string) string { return m + "\n\n" }, odd: "a line break"},
		{name: "a line break within", of: joined("\n"), odd: "a line break"},
		{name: "a line that is a key", of: func(m string) string { return m + "\n" + m + ": " + m }, odd: "a line break"},
		{name: "a carriage return", of: joined("\r"), odd: "a line break"},
		{name: "a tab", of: joined("\t"), odd: "a tab"},
		{name: "NUL", of: joined("\x00"), odd: "a NUL"},
		{name: "terminal commands", of: joined("\x1b[2J\x07"), odd: "a control character"},
		{name: "not UTF-8", of: joined("\xff\xfe"), odd: "a byte that is not UTF-8"},
		{name: "a no-break space", of: joined("\u00a0"), odd: "a space that is not the usual one"},
		{name: "not seen", of: joined("\u200b"), odd: "an invisible character"},
		{name: "a reference", of: func(m string) string { return "${" + m + "}" }, odd: "is the text of a reference"},
	}
}

// says is what is said of a form at a path; empty where it is taken.
func (f form) says(path string) string {
	switch {
	case f.odd != "":
		return f.odd
	case path == "connectors[].client_secret":
		return f.where["onelogin"]
	case path == "kafka.sasl.token":
		return f.where["bearer"]
	case path == "secrets.keys[].private_key":
		return "make one with onelogin-kafka secrets keygen"
	}
	return ""
}

// setting is how a secret's value is written into the configuration.
type setting struct {
	name string
	// line is the key and value, and env what a variable must hold; ok is false
	// where it cannot be written so.
	line func(t *testing.T, key, text string) (line string, env map[string]string, ok bool)
	// exact tells whether what is written is what will be read.
	exact bool
}

const variable = "ONELOGIN_KAFKA_CANARY"

func settings() []setting {
	return []setting{
		{"in a file", func(t *testing.T, key, text string) (string, map[string]string, bool) {
			return fmt.Sprintf("%s_file: %q", key, write(t, "secret", text)), nil, true
		}, true},
		{"in a variable", func(_ *testing.T, key, text string) (string, map[string]string, bool) {
			return key + ": env:" + variable, map[string]string{variable: text}, !strings.Contains(text, "\x00")
		}, true},
		{"in quotes", func(_ *testing.T, key, text string) (string, map[string]string, bool) {
			quoted, err := json.Marshal(text)
			var back string
			return key + ": " + string(quoted), nil, err == nil && json.Unmarshal(quoted, &back) == nil && back == text
		}, true},
		// As a person writes it who does not know YAML.
		{"as it is", func(_ *testing.T, key, text string) (string, map[string]string, bool) {
			return key + ": " + text, nil, true
		}, false},
		{"without a space", func(_ *testing.T, key, text string) (string, map[string]string, bool) {
			return key + ":" + text + ": ", nil, true
		}, false},
	}
}

// withSecret is a configuration with the line of a secret at its path, and with
// nothing else that is wrong.
func withSecret(path, line string) string {
	kafka, http, main, connector := "", "", "", "client_secret: s3cret"
	const proxy = "proxy:\n  url: http://127.0.0.1:1\n  username: u\n  "
	switch path {
	case "kafka.sasl.password":
		kafka = "  sasl:\n    mechanism: SCRAM-SHA-512\n    username: u\n    " + line + "\n"
	case "kafka.sasl.token":
		kafka = "  tls: {}\n  sasl:\n    mechanism: OAUTHBEARER\n    " + line + "\n"
	case "kafka.sasl.client_secret":
		kafka = "  tls: {}\n  sasl:\n    mechanism: OAUTHBEARER\n    token_url: https://127.0.0.1:1/\n    client_id: id\n    " + line + "\n"
	case "http.token":
		http = "  " + line + "\n"
	case "http.viewer_token":
		http = "  token: of-the-admins\n  " + line + "\n"
	case "secrets.keys[].private_key":
		main = "secrets:\n  keys:\n    - " + line + "\n"
	case "proxy.password":
		main = proxy + line + "\n"
	case "connectors[].proxy.password":
		connector += "\n    " + strings.ReplaceAll(proxy, "\n", "\n    ") + line
	case "connectors[].client_secret":
		connector = line
	default:
		return ""
	}
	return "kafka:\n  brokers: 127.0.0.1:1\n" + kafka + "instance: test\nhttp:\n  listen: 127.0.0.1:0\n" + http + main +
		"connectors:\n  - name: acme\n    domain: acme\n    client_id: id\n    base_url: http://127.0.0.1:1\n    " + connector + "\n"
}

// refusing are the commands that read the configuration, which end at once when
// it is refused.
var refusing = [][]string{
	{"config", "check"}, {"config", "check", "--json"}, {"run", "--strict"}, {"run"}, {"check"}, {"check", "--json"}, {"tail"},
	{"offsets", "take-over"}, {"offsets", "copy", "--to", "other"},
}

// TestConfigurationShowsNoSecret drives every secret of the configuration, in
// every ugly form and every way of writing it, through commands that read the
// configuration, as far as it is refused: two of them each, in turn, so that every
// secret, every form that is refused and every way passes through every command.
// TestSetAsideShowsNoSecret drives those that set a connector aside, and
// TestRunningShowsNoSecret those that are taken.
func TestConfigurationShowsNoSecret(t *testing.T) {
	values, _ := secretPaths()
	if len(values) < 5 {
		t.Fatalf("found the secrets %q only", values)
	}
	refused, taken := 0, 0
	met := map[string]map[string]bool{} // the commands by a secret, a form or a way
	for _, path := range values {
		key := path[strings.LastIndex(path, ".")+1:]
		s := &secrets{all: map[string]string{}}
		for _, trace := range traces(marker(path)) {
			s.add(trace, path)
		}
		if withSecret(path, "x") == "" {
			t.Errorf("%s is a secret that this test does not know: teach it where it is written", path)
			continue
		}
		for _, f := range forms() {
			text := f.of(marker(path))
			for _, way := range settings() {
				where := path + ", " + f.name + ", " + way.name
				line, env, ok := way.line(t, key, text)
				if !ok {
					continue
				}
				for name, value := range env {
					t.Setenv(name, value)
				}
				file := write(t, "c.yaml", withSecret(path, line))
				cfg, err := config.Load(file, os.LookupEnv)
				aside := err == nil && len(cfg.SetAside) > 0
				if aside {
					err = cfg.Problems()
				}
				if says := f.says(path); way.exact && (err == nil) != (says == "") || way.exact && err != nil && !strings.Contains(err.Error(), says) {
					t.Errorf("%s: got %v, want %q", where, err, says)
				}
				commands := refusing
				switch {
				case err == nil:
					taken++
					commands = refusing[:2] // the others would wait for a broker
				case aside:
					refused++
					commands = refusing[:3] // as above
				default:
					refused++
				}
				n := refused + taken
				for _, args := range [][]string{commands[n%2], commands[n%len(commands)]} {
					if !aside && err != nil {
						for _, of := range []string{path, f.name, way.name} {
							if met[of] == nil {
								met[of] = map[string]bool{}
							}
							met[of][strings.Join(args, " ")] = true
						}
					}
					code, said := drive(t, append(slices.Clone(args), "--config", file)...)
					s.find(t, where+": "+strings.Join(args, " "), said)
					if want := map[bool]int{true: exitOK, false: exitUsage}[err == nil]; code != want {
						t.Errorf("%s: %q: got exit %d, want %d", where, args, code, want)
					}
				}
			}
		}
	}
	if refused < 100 || taken < 50 {
		t.Errorf("%d were refused and %d taken: hardly what was to be tried", refused, taken)
	}
	for of, commands := range met {
		if len(commands) != len(refusing) {
			t.Errorf("%s was refused by %d commands only, of %d", of, len(commands), len(refusing))
		}
	}
}

// inVariables is a configuration as the variables that stand for it, by name.
func inVariables(t *testing.T, text string) map[string]string {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for _, v := range config.Variables() {
		var value any = tree
		for key := range strings.SplitSeq(v.Key, ".") {
			name, list := strings.CutSuffix(key, "[]")
			section, _ := value.(map[string]any)
			if value = section[name]; list && value != nil {
				value = value.([]any)[0]
			}
		}
		switch value := value.(type) {
		case nil:
		case map[string]any:
			set[v.Name] = "true"
		default:
			set[v.Name] = fmt.Sprint(value)
		}
	}
	return set
}

// TestEnvironmentShowsNoSecret is the same for the variables that stand in for a
// configuration file: each that is a secret, and each that names a file with one.
func TestEnvironmentShowsNoSecret(t *testing.T) {
	tried := 0
	for nth, v := range config.Variables() { // each form through one of the two commands, of one secret or another
		path, file := v.Key, false
		if !v.Secret {
			if path, file = strings.CutSuffix(v.Key, "_file"); !file || withSecret(path, "x") == "" {
				continue
			}
		}
		t.Run(v.Name, func(t *testing.T) {
			s := &secrets{all: map[string]string{}}
			for _, trace := range traces(marker(path)) {
				s.add(trace, path)
			}
			key := path[strings.LastIndex(path, ".")+1:]
			for name, value := range inVariables(t, withSecret(path, key+": null")) {
				t.Setenv(name, value)
			}
			for i, f := range forms() {
				value := f.of(marker(path))
				if file {
					value = write(t, "secret", value)
				}
				if strings.Contains(value, "\x00") {
					continue
				}
				t.Setenv(v.Name, value)
				says := f.says(path)
				code, said := drive(t, refusing[(i+nth)%2]...)
				s.find(t, f.name, said)
				if (code == exitOK) != (says == "") || !strings.Contains(said, says) {
					t.Errorf("%s: got exit %d and %q, want %q", f.name, code, said, says)
				}
				tried++
			}
		})
	}
	if tried < 300 {
		t.Errorf("tried %d only", tried)
	}
}

// TestEnvironmentShowsNoPassword puts a URL with a password into each variable
// that is no secret.
func TestEnvironmentShowsNoPassword(t *testing.T) {
	m := marker("environment")
	s := &secrets{all: map[string]string{}}
	for _, trace := range traces(m) {
		s.add(trace, "password")
	}
	valid := inVariables(t, withSecret("connectors[].client_secret", "client_secret: s3cret"))
	for _, v := range config.Variables() {
		if v.Secret {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			for name, value := range valid {
				t.Setenv(name, value)
			}
			t.Setenv(v.Name, "sasl://user:"+m+"@127.0.0.1:1")
			for _, args := range refusing[:2] {
				_, said := drive(t, args...)
				s.find(t, strings.Join(args, " "), said)
			}
		})
	}
	for name, value := range valid {
		t.Setenv(name, value)
	}
	for _, f := range forms() {
		if text := f.of(m); !strings.Contains(text, "\x00") {
			t.Setenv(config.EnvHTTPSProxy, "http://"+url.UserPassword("user", text).String()+"@127.0.0.1:1")
			code, said := drive(t, refusing[0]...)
			s.find(t, f.name+" in "+config.EnvHTTPSProxy, said)
			if (code == exitOK) != (f.odd == "") || !strings.Contains(said, f.odd) {
				t.Errorf("%s in %s: got exit %d and %q, want %q", f.name, config.EnvHTTPSProxy, code, said, f.odd)
			}
		}
	}
}

// TestNoValueShowsAPassword puts a URL with a password, as it is written for
// other clients and for proxies, into every value that is no secret.
func TestNoValueShowsAPassword(t *testing.T) {
	const password = "hunter2canary"
	s := &secrets{all: map[string]string{password: "password"}}
	tried := 0
	for _, l := range leaves(reflect.TypeFor[config.Config](), "") {
		if l.kind == reflect.TypeFor[config.Secret]() {
			continue // a secret may be such a URL
		}
		for _, value := range []string{"sasl://user:" + password + "@kafka:9092", "user:" + password + "@127.0.0.1", "https://" + password + "@proxy/?x"} {
			tree := map[string]any{
				"kafka": map[string]any{"brokers": "127.0.0.1:1"}, "instance": "test",
				"connectors": []any{map[string]any{"name": "acme", "domain": "acme", "client_id": "id", "client_secret": "s"}},
			}
			put(tree, strings.Split(l.path, "."), value)
			text, err := yaml.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			file := write(t, "c.yaml", string(text))
			for _, args := range refusing[:2] {
				_, said := drive(t, append(slices.Clone(args), "--config", file)...)
				s.find(t, l.path+": "+value, said)
				tried++
			}
		}
	}
	if tried < 200 {
		t.Errorf("tried %d only", tried)
	}
}

// put sets a value in nested maps; "name[]" is the first element of a list.
func put(tree map[string]any, path []string, value any) {
	name, list := strings.CutSuffix(path[0], "[]")
	if len(path) == 1 {
		tree[name] = value
		return
	}
	if list {
		if tree[name] == nil {
			tree[name] = []any{map[string]any{}}
		}
		put(tree[name].([]any)[0].(map[string]any), path[1:], value)
		return
	}
	inner, ok := tree[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		tree[name] = inner
	}
	put(inner, path[1:], value)
}
