//go:build !race

package cache

import (
	"testing"
	"time"
)

// Under the race detector pools forget at random, so these count nothing there.

func TestGetDoesNotAllocate(t *testing.T) {
	m := newTestMemory(t, 1<<20)
	m.Put(frozen(1, 0), 0)
	m.Put(running(2, 0), time.Minute)
	for n, what := range []string{1: "frozen", 2: "running", 3: "absent"} {
		key := new(ID)
		*key = memoryKey(n)
		// Ristretto allocates one buffer of 64 keys for every 64 calls.
		if allocs := testing.AllocsPerRun(1000, func() { m.Get(key) }); allocs >= 1 {
			t.Errorf("Get of an entry that is %s: %v allocations, want 0", what, allocs)
		}
	}
}

func TestHashDoesNotAllocate(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	token, task := []byte("Bearer sk_0123456789abcdef0123456789abcdef"), "task-0f2c-1761129000"
	if n := testing.AllocsPerRun(1000, func() { twoSums(s, token, task) }); n != 0 {
		t.Errorf("%v allocations for the sums of a request, want 0", n)
	}
}
