package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAlerts has Prometheus's own tool judge the alert rules: each fires in its
// trouble, and none where all is well.
func TestAlerts(t *testing.T) {
	t.Parallel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	const rules, tests = "prometheus/onelogin-kafka.rules.yml", "prometheus/onelogin-kafka.rules.test.yml"
	for _, args := range [][]string{{"check", "rules", rules}, {"test", "rules", tests}} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(cache, "onelogin-kafka", "promtool"), args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %s (scripts/deps.sh fetches it): %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tried, err := os.ReadFile(tests)
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if _, alert, ok := strings.Cut(strings.TrimSpace(line), "- alert: "); ok && !strings.Contains(string(tried), `alertname="`+alert+`"`) {
			t.Errorf("%s fires in no test", alert)
		}
	}
}
