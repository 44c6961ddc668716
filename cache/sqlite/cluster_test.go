package sqlite

import (
	"path/filepath"
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func TestCluster(t *testing.T) {
	storetest.RunCluster(t, func(t *testing.T) cache.Cluster {
		s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
		return cache.Alone(s)
	})
}
