package config

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// Whoever is told what a reload came to may begin the next one.
func TestLoadUntilHasEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("store: {driver: none}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		var ended atomic.Bool
		_, err := Source{File: path}.LoadUntil(t.Context(), nil, func() { ended.Store(true) })
		if !ended.Load() {
			t.Fatalf("the files are said to be read still, after they were (%v)", err)
		}
	}
}
