package poller

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// BenchmarkMiss is a poll of a task that nobody has asked about yet, all of the
// engine included and no network.
func BenchmarkMiss(b *testing.B) {
	bn := newBench(b, "vessl", always(200, vesslRunning))
	i := 0
	for b.Loop() {
		if a := bn.poll("a", "job"+strconv.Itoa(i)); a.Entry == nil {
			b.Fatal(said(a))
		}
		i++
	}
}

// BenchmarkHit is a poll that memory answers.
func BenchmarkHit(b *testing.B) {
	bn := newBench(b, "vessl", always(200, vesslDone))
	bn.poll("a", "job")
	r := bn.request("a", "job")
	now := time.Now()
	for b.Loop() {
		if _, ok := bn.Cached(r.Upstream, r.Partition, &r.Key, now); !ok {
			b.Fatal("a miss")
		}
	}
}

// BenchmarkHeld is a poll of a task whose last poll failed a moment ago.
func BenchmarkHeld(b *testing.B) {
	bn := newBench(b, "vessl", always(400, `{"message":"no"}`, "Retry-After", "900"))
	r := bn.request("a", "job")
	for b.Loop() {
		if a := bn.Poll(context.Background(), r); a.Problem == nil {
			b.Fatal(said(a))
		}
	}
}
