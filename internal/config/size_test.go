package config_test

import (
	"strings"
	"testing"

	"onelogin-kafka/internal/config"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"auto": 0, "512MiB": 512 << 20, "2GiB": 2 << 30, "134217728": 128 << 20, "70000KiB": 70000 << 10} {
		cfg := mustLoad(t, write(t, map[string]string{"config.yaml": minimal + "memory: " + text + "\n"}))
		if cfg.Memory != want {
			t.Errorf("%s: got %d, want %d", text, cfg.Memory, want)
		}
		again := mustLoad(t, write(t, map[string]string{"config.yaml": minimal + "memory: " + cfg.Memory.String() + "\n"}))
		if again.Memory != want {
			t.Errorf("%s, printed and read again: got %s", text, again.Memory)
		}
	}
	for _, text := range []string{"0", "512", "1.5GiB", "-1GiB", "512 MiB", "512mb", "99999999GiB"} {
		if _, err := config.Load(write(t, map[string]string{"config.yaml": minimal + "memory: " + text + "\n"}), lookup); err == nil || !strings.Contains(err.Error(), "memory: ") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
