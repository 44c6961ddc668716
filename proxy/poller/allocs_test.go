//go:build !race

package poller

import (
	"fmt"
	"net/http"
	"path"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"pollux/cache"
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

// TestEntriesHoldWhatTheySay: what is kept of an answer must not hold on to the
// text that it was read in, which no bound of the memory tier knows of.
func TestEntriesHoldWhatTheySay(t *testing.T) {
	pad := strings.Repeat("x", 200_000)
	b := newBench(t, "openai", func(_ int64, r *http.Request) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"id":%q,"object":"response","status":"failed","model":"gpt-9","error":{"code":"server_error","message":"no"},"user":%q}`,
			path.Base(r.URL.Path), pad))
	})
	live := func() uint64 {
		runtime.GC()
		runtime.GC() // what pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.poll("a", "resp_0")
	before := live()
	var entries []*cache.Entry
	var said int64
	for n := range 50 {
		e := b.entry(b.poll("a", fmt.Sprint("resp_", n+1)))
		if e.Model != "gpt-9" || e.ErrorCode != "server_error" || e.NativeStatus != "failed" || len(e.History) != 1 {
			t.Fatalf("kept of the answer: %q, %q, %q, %v", e.Model, e.ErrorCode, e.NativeStatus, e.History)
		}
		entries, said = append(entries, e), said+e.Size()
	}
	if held := int64(live() - before); held > said*5/4 {
		t.Errorf("%d entries of %d bytes hold %d", len(entries), said, held)
	}
	runtime.KeepAlive(entries)
}
