package clustertest

import (
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func TestCluster(t *testing.T) {
	storetest.RunCluster(t, func(*testing.T) cache.Cluster { return New(Faults{}).Join() })
}

func TestSharing(t *testing.T) {
	storetest.RunSharing(t, func(t *testing.T) func() cache.Cluster {
		shared := New(Faults{})
		return func() cache.Cluster {
			r := shared.Join()
			t.Cleanup(func() { r.Close() })
			return r
		}
	})
}
