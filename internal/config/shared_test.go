package config_test

import (
	"maps"
	"strings"
	"testing"
)

// TestShared: what is an instance's own does not change the sum, all else does.
func TestShared(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"config.yaml":      minimal + "connectors_dir: conf.d\n",
		"conf.d/beta.yaml": "name: beta\ndomain: beta\nclient_id: id\nclient_secret_file: secrets/beta\n",
		"conf.d/zeta.yaml": "name: zeta\ndomain: zeta\nclient_id: id\nclient_secret_file: secrets/zeta\n",
		"secrets/beta":     canary, "secrets/zeta": canary, "secrets/token": canary + canary,
	}
	sum := func(changes map[string]string) [32]byte {
		t.Helper()
		files := maps.Clone(base)
		for name, text := range changes {
			if files[name] = text; text == "" {
				delete(files, name)
			}
		}
		return mustLoad(t, write(t, files)).Shared()
	}
	want, main := sum(nil), base["config.yaml"] // the folder is another each time
	own := map[string]map[string]string{
		"a name":      {"config.yaml": strings.Replace(main, "instance: ", "instance: other-", 1)},
		"a listener":  {"config.yaml": main + "http: {listen: '127.0.0.1:9999', token_file: secrets/token}\n"},
		"a log":       {"config.yaml": main + "log: {level: debug}\nmemory: 1GiB\n"},
		"a comment":   {"config.yaml": "# hello\n" + main},
		"other files": {"conf.d/beta.yaml": "", "conf.d/a.yaml": strings.Replace(base["conf.d/beta.yaml"], "secrets/beta", "secrets/zeta", 1)},
	}
	for name, changes := range own {
		if sum(changes) != want {
			t.Errorf("%s: the sum is another", name)
		}
	}
	seen := map[[32]byte]string{want: "the start"}
	for name, changes := range map[string]map[string]string{
		"a group":     {"config.yaml": main + "group: g\n"},
		"a topic":     {"config.yaml": main + "topics: {status: {name: s}}\n"},
		"a key":       {"config.yaml": main + "key: user\n"},
		"a secret":    {"secrets/beta": canary + "2"},
		"a setting":   {"conf.d/beta.yaml": base["conf.d/beta.yaml"] + "page_size: 50\n"},
		"a pause":     {"conf.d/beta.yaml": base["conf.d/beta.yaml"] + "paused: true\n"},
		"one less":    {"conf.d/beta.yaml": ""},
		"a set aside": {"conf.d/beta.yaml": base["conf.d/beta.yaml"] + "pagesize: 50\n"},
		"a proxy":     {"config.yaml": main + "proxy: {url: 'http://proxy:3128'}\n"},
	} {
		s := sum(changes)
		if before, ok := seen[s]; ok {
			t.Errorf("%s: the sum is that of %s", name, before)
		}
		seen[s] = name
	}
}
