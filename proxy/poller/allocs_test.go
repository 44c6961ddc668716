//go:build !race

package poller

import (
	"strconv"
	"testing"
)

// TestMissAllocations guards what a poll that asks the upstream allocates, the
// answer included that the test makes; see BenchmarkMiss.
func TestMissAllocations(t *testing.T) {
	bn := newBench(t, "vessl", always(200, vesslRunning))
	i := 0
	if n := testing.AllocsPerRun(500, func() {
		i++
		if a := bn.poll("a", "job"+strconv.Itoa(i)); a.Entry == nil {
			t.Fatal(said(a))
		}
	}); n > 62 {
		t.Errorf("got %v allocations per miss, want at most 62", n)
	}
}
