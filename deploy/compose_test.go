package deploy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose is what the test needs of docker-compose.yml.
type compose struct {
	Services map[string]struct {
		Image       string   `yaml:"image"`
		User        string   `yaml:"user"`
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Restart     string   `yaml:"restart"`
		Ports       []string `yaml:"ports"`
	} `yaml:"services"`
}

func read(t *testing.T) *compose {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	c := &compose{}
	if err := yaml.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeIsHardened: no root, no rights, nothing written but to volumes, no
// image that may change under its name, nothing for others than this machine.
func TestComposeIsHardened(t *testing.T) {
	pinned := regexp.MustCompile(`:([0-9]+\.[0-9]+\.[0-9]+|compose)$`)
	for name, s := range read(t).Services {
		switch uid, _, _ := strings.Cut(s.User, ":"); {
		case uid == "" || uid == "0" || uid == "root":
			t.Errorf("%s runs as %q", name, s.User)
		case !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true"):
			t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		case !pinned.MatchString(s.Image):
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		case s.Restart != "unless-stopped":
			t.Errorf("%s is not started again", name)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: %s is open to others", name, p)
			}
		}
	}
}
