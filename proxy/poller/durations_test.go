package poller

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestDurationsCountOnce: steps that settle a task, fail or make what is known
// stale are no further end of it.
func TestDurationsCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "shannon", func(n int64, _ *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return reply(200, shannonBody("RUNNING", ""))
			case 2:
				return reply(200, shannonBody("COMPLETED", ""))
			}
			return reply(503, "{}")
		})
		b.poll("a", "task_1")
		time.Sleep(10 * time.Second)
		first := b.poll("a", "task_1")
		if first.Entry == nil || !first.Entry.Settling {
			t.Fatalf("got %s, want an answer that settles", said(first))
		}
		time.Sleep(time.Minute)
		if last := b.poll("a", "task_1"); last.Entry == nil || !last.Entry.Frozen || b.polls.Load() < 3 {
			t.Fatalf("got %s after %d polls, want it settled", said(last), b.polls.Load())
		}
		if q := b.up().Durations(); q.Samples != 1 {
			t.Errorf("%d durations were learned of one task", q.Samples)
		}
	})
}
