package cache_test

import (
	"testing"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

func TestMemoryIndex(t *testing.T) {
	storetest.RunIndex(t, func(*testing.T) storetest.Indexed {
		x := cache.NewMemoryIndex()
		return storetest.Indexed{Index: x, Put: x.Put, Delete: x.Delete}
	})
}
