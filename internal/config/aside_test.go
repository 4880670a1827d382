package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/config"
)

const folder = "kafka: {brokers: [b:1]}\ninstance: i\nconnectors_dir: d\n"

// file is a connector's file; its secret is in s/<name>.
func file(name string) string {
	return fmt.Sprintf("name: %s\ndomain: %s\nclient_id: x\nclient_secret_file: s/%s\n", name, name, name)
}

// summary is a configuration in short: each connector and where it is from,
// then each that is set aside, with "*" where it runs.
func summary(path string, cfg *config.Config) []string {
	var all []string
	base := filepath.Dir(path) + string(filepath.Separator)
	for _, c := range cfg.Connectors {
		all = append(all, c.Name+" "+strings.TrimPrefix(c.Source, base))
	}
	for _, s := range cfg.SetAside {
		text := "-" + s.Name
		if s.Runs {
			text += "*"
		}
		all = append(all, text+" "+strings.ReplaceAll(s.Reason(), base, ""))
	}
	return all
}

// Of a thousand connectors the one whose secret lacks is set aside, with its
// place; the others are there, and so is it once the secret is.
func TestFleetWithOneSecretLacking(t *testing.T) {
	t.Parallel()
	files := map[string]string{"config.yaml": folder}
	for i := range 1000 {
		name := fmt.Sprintf("t%04d", i)
		files["d/"+name+".yaml"], files["s/"+name] = file(name), canary+"\n"
	}
	for what, spoil := range map[string]func(path string) error{
		"missing":   os.Remove,
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"no secret": func(path string) error { return os.WriteFile(path, []byte("\n"), 0o600) },
	} {
		t.Run(what, func(t *testing.T) {
			path := write(t, files)
			secret := filepath.Join(filepath.Dir(path), "s", "t0500")
			if err := spoil(secret); err != nil {
				t.Fatal(err)
			}
			cfg := mustLoad(t, path)
			if len(cfg.Connectors) != 999 || len(cfg.SetAside) != 1 {
				t.Fatalf("got %d connectors and %d set aside", len(cfg.Connectors), len(cfg.SetAside))
			}
			s := cfg.SetAside[0]
			if p := s.Problems[0]; s.Name != "t0500" || s.Runs || p.File != s.File || !strings.HasSuffix(p.File, "d/t0500.yaml") || p.Line != 4 || p.Path != "client_secret_file" {
				t.Errorf("got %+v", s)
			}
			if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
				t.Fatal(err)
			}
			if cfg = mustLoad(t, path); len(cfg.Connectors) != 1000 || len(cfg.SetAside) != 0 {
				t.Errorf("mended: got %d connectors and %d set aside", len(cfg.Connectors), len(cfg.SetAside))
			}
		})
	}
}

// TestSetAside has one folder per kind of trouble, and what comes of it.
func TestSetAside(t *testing.T) {
	t.Parallel()
	inline := "connectors:\n- {name: acme, domain: acme, client_id: x, client_secret: env:SECRET}\n"
	const twice = `name: "acme" is already the name of the connector at `
	for name, tt := range map[string]struct {
		files map[string]string // beside config.yaml, acme.yaml and their secrets; "" removes one
		want  []string
	}{
		"no YAML": {
			map[string]string{"d/bad.yaml": "name: ["},
			[]string{"acme d/acme.yaml", "-bad d/bad.yaml: is not valid YAML: line 1: did not find expected node content"},
		},
		"not even a name in the file's name": {
			map[string]string{"d/No Name.yaml": ""},
			[]string{"acme d/acme.yaml", "- d/No Name.yaml: is empty; see onelogin-kafka.example.yaml for what to write"},
		},
		"two problems": {
			map[string]string{"d/bad.yaml": file("b") + "start_from: never\n"},
			[]string{"acme d/acme.yaml", "-b d/bad.yaml:4: client_secret_file: s/b does not exist; create it or correct the path (and 1 more)"},
		},
		"a variable of a connector in the main file": {
			map[string]string{"config.yaml": folder + strings.ReplaceAll(strings.ReplaceAll(inline, "acme", "beta"), "SECRET", "NONE")},
			[]string{"acme d/acme.yaml", "-beta config.yaml:5: connectors[0].client_secret: the environment variable NONE is not set; set it or write the value"},
		},
		"a name twice: the file that is called so has it": {
			map[string]string{"d/a-copy.yaml": file("acme")},
			[]string{"acme d/acme.yaml", "-a-copy d/a-copy.yaml:1: " + twice + "d/acme.yaml; names are unique"},
		},
		"a name twice: the main file has it": {
			map[string]string{"config.yaml": folder + inline},
			[]string{"acme config.yaml:5", "- d/acme.yaml:1: " + twice + "config.yaml:5; names are unique"},
		},
		"a name twice: nobody has it": {
			map[string]string{"d/acme.yaml": "", "d/one.yaml": file("acme"), "d/two.yaml": file("acme")},
			[]string{"-acme d/one.yaml:1: " + twice + "d/two.yaml; names are unique", "-two d/two.yaml:1: " + twice + "d/one.yaml; names are unique"},
		},
		"a name twice, and the one that has it is wrong": {
			map[string]string{"d/acme.yaml": file("acme") + "paused: maybe\n", "d/a-copy.yaml": file("acme")},
			[]string{"-a-copy d/a-copy.yaml:1: " + twice + "d/acme.yaml; names are unique", `-acme d/acme.yaml:5: paused: "maybe" is neither true nor false`},
		},
		"a name three times": {
			map[string]string{"d/acme.yaml": "", "d/1.yaml": file("acme"), "d/2.yaml": file("acme"), "d/3.yaml": file("acme")},
			[]string{
				"-acme d/1.yaml:1: " + twice + "d/2.yaml; names are unique", "-2 d/2.yaml:1: " + twice + "d/3.yaml; names are unique",
				"-3 d/3.yaml:1: " + twice + "d/1.yaml; names are unique",
			},
		},
		"a guess takes nobody's name": {
			map[string]string{"d/beta.yml": "[", "d/z.yaml": strings.Replace(file("beta"), "x", "a b", 1), "s/beta": canary},
			[]string{"acme d/acme.yaml", "- d/beta.yml: is not valid YAML: line 1: did not find expected node content",
				`-beta d/z.yaml:3: client_id: holds a space at position 2, which no OneLogin credential has; copy it again from OneLogin`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"config.yaml": folder, "d/acme.yaml": file("acme"), "s/acme": canary}
			maps.Copy(files, tt.files)
			maps.DeleteFunc(files, func(name, text string) bool { return text == "" && name == "d/acme.yaml" })
			path := write(t, files)
			if d := cmp.Diff(tt.want, summary(path, mustLoad(t, path))); d != "" {
				t.Errorf("(-want +got):\n%s", strings.ReplaceAll(d, filepath.Dir(path)+"/", ""))
			}
		})
	}
}

// TestReload changes the files of three connectors that run.
func TestReload(t *testing.T) {
	t.Parallel()
	const twice = `name: "beta" is already the name of the connector at `
	for name, tt := range map[string]struct {
		files map[string]string // "" removes one
		want  []string
	}{
		"nothing": {nil, []string{"acme d/acme.yaml", "beta d/beta.yaml", "gamma d/other.yaml"}},
		"one is broken, one changed, one removed, one added": {
			map[string]string{"d/beta.yaml": "[", "d/acme.yaml": file("acme") + "paused: true\n", "d/other.yaml": "", "d/new.yaml": file("acme2"), "s/acme2": canary},
			[]string{"acme d/acme.yaml", "acme2 d/new.yaml", "beta d/beta.yaml", "-beta* d/beta.yaml: is not valid YAML: line 1: did not find expected node content"},
		},
		"a file that is called otherwise is broken": {
			map[string]string{"d/other.yaml": "["},
			[]string{"acme d/acme.yaml", "beta d/beta.yaml", "gamma d/other.yaml", "-gamma* d/other.yaml: is not valid YAML: line 1: did not find expected node content"},
		},
		"a secret is gone": {
			map[string]string{"s/beta": ""},
			[]string{"acme d/acme.yaml", "gamma d/other.yaml", "beta d/beta.yaml", "-beta* d/beta.yaml:4: client_secret_file: s/beta does not exist; create it or correct the path"},
		},
		"a broken one gets another name": {
			map[string]string{"d/beta.yaml": file("beta2") + "paused: maybe\n", "s/beta2": canary},
			[]string{"acme d/acme.yaml", "gamma d/other.yaml", "beta d/beta.yaml", `-beta* d/beta.yaml:5: paused: "maybe" is neither true nor false`},
		},
		"one moves to another file": {
			map[string]string{"d/beta.yaml": "", "d/moved.yaml": file("beta")},
			[]string{"acme d/acme.yaml", "beta d/moved.yaml", "gamma d/other.yaml"},
		},
		"one moves to another file and is broken": {
			map[string]string{"d/beta.yaml": "", "d/moved.yaml": file("beta") + "paused: maybe\n"},
			[]string{"acme d/acme.yaml", "gamma d/other.yaml", "beta d/beta.yaml", `-beta* d/moved.yaml:5: paused: "maybe" is neither true nor false`},
		},
		"one moves, and its old file is broken": {
			map[string]string{"d/beta.yaml": "[", "d/moved.yaml": file("beta")},
			[]string{"acme d/acme.yaml", "gamma d/other.yaml", "beta d/beta.yaml", "-beta* d/beta.yaml: is not valid YAML: line 1: did not find expected node content",
				"-moved d/moved.yaml:1: " + twice + "d/beta.yaml; names are unique"},
		},
		"a name is given again": {
			map[string]string{"d/a-copy.yaml": file("beta")},
			[]string{"acme d/acme.yaml", "beta d/beta.yaml", "gamma d/other.yaml", "-a-copy d/a-copy.yaml:1: " + twice + "d/beta.yaml; names are unique"},
		},
		"a name is given again, by a file that is called so": {
			map[string]string{"d/gamma.yaml": file("gamma")},
			[]string{"acme d/acme.yaml", "beta d/beta.yaml", "gamma d/other.yaml", `- d/gamma.yaml:1: name: "gamma" is already the name of the connector at d/other.yaml; names are unique`},
		},
		"the same, and what runs changes": {
			map[string]string{"d/gamma.yaml": file("gamma"), "d/other.yaml": "\n" + file("gamma") + "paused: true\n"},
			[]string{"acme d/acme.yaml", "beta d/beta.yaml", "gamma d/other.yaml", `- d/gamma.yaml:1: name: "gamma" is already the name of the connector at d/other.yaml; names are unique`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, map[string]string{
				"config.yaml": folder, "d/acme.yaml": file("acme"), "d/beta.yaml": file("beta"), "d/other.yaml": file("gamma"),
				"s/acme": canary, "s/beta": canary, "s/gamma": canary,
			})
			last := mustLoad(t, path)
			change(t, filepath.Dir(path), tt.files)
			cfg, err := config.Reload(last, path, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, summary(path, cfg)); d != "" {
				t.Errorf("(-want +got):\n%s", strings.ReplaceAll(d, filepath.Dir(path)+"/", ""))
			}
			for _, c := range cfg.Connectors {
				if i := slices.IndexFunc(last.Connectors, func(l config.Connector) bool { return l.Name == c.Name }); i < 0 {
					continue
				} else if touched := strings.Contains(tt.files[c.Source[len(filepath.Dir(path))+1:]], "paused: true"); c.Equal(last.Connectors[i]) == touched {
					t.Errorf("%s is as before: %v", c.Name, !touched)
				}
			}
			// And once more, as it would be found two seconds later.
			again, err := config.Reload(cfg, path, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(summary(path, cfg), summary(path, again)); d != "" {
				t.Errorf("read again (-first +second):\n%s", d)
			}
		})
	}
}

func change(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		var err error
		if path := filepath.Join(dir, name); text == "" {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is wrong in the main file refuses the configuration and tells
// everything, also what would be set aside.
func TestReloadRefusesWhatTheMainFileHas(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{
		"config.yaml": folder, "d/acme.yaml": file("acme"), "s/acme": canary, "d/beta.yaml": file("beta"),
	})
	last := mustLoad(t, path)
	change(t, filepath.Dir(path), map[string]string{"config.yaml": folder + "key: account\n"})
	cfg, err := config.Reload(last, path, lookup)
	if cfg != nil || err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "key: ") || !strings.Contains(err.Error(), "s/beta does not exist") {
		t.Errorf("got %v, %v", cfg, err)
	}
}

// SameSecret tells of a secret that was replaced where it is.
func TestSameSecret(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"config.yaml": folder, "d/acme.yaml": file("acme"), "s/acme": canary})
	first := mustLoad(t, path).Connectors[0]
	if again := mustLoad(t, path).Connectors[0]; !again.SameSecret(first) {
		t.Error("the secret has not changed")
	}
	change(t, filepath.Dir(path), map[string]string{"s/acme": canary + "2"})
	if rotated := mustLoad(t, path).Connectors[0]; rotated.SameSecret(first) || !rotated.Equal(first) {
		t.Error("the secret has changed, and nothing else")
	}
}
