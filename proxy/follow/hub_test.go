package follow

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pollux/cache"
	"pollux/proxy/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func entry(key byte, status string) *cache.Entry {
	return &cache.Entry{Key: cache.ID{key}, Status: status, ETag: `W/"` + status + `"`, NativeETag: `W/"n` + status + `"`,
		Document: []byte(`{"status":"` + status + `"}`), Native: []byte("{\"s\":\r\n1}")}
}

func TestFollowersGetTheLatest(t *testing.T) {
	h := NewHub()
	partition := cache.ID{9}
	f := h.Follow(&cache.ID{1}, &partition)
	other := h.Follow(&cache.ID{2}, &partition)
	h.Published(entry(1, "queued"))
	h.Published(entry(1, "in_progress"))
	<-f.Wake()
	if n := f.Take(); n == nil || n.Entry.Status != "in_progress" {
		t.Errorf("took %v, want the latest entry", n)
	}
	if n := f.Take(); n != nil {
		t.Errorf("took %v twice", n)
	}
	h.Published(entry(1, "in_progress"))
	if n := f.Take(); n != nil {
		t.Error("what differs only in age was told")
	}
	if n := other.Take(); n != nil {
		t.Errorf("the follower of another task was told %v", n)
	}
	h.Lost(&cache.ID{1}, &problem.Problem{Type: problem.TaskGone})
	if n := f.Take(); n == nil || n.Problem.Type != problem.TaskGone {
		t.Errorf("took %v, want the loss", n)
	}
	h.Suspended(&partition, &problem.Problem{Type: problem.Unauthorized})
	if f.Take() == nil || other.Take() == nil {
		t.Error("a suspension did not reach every follower of the partition")
	}
	h.Suspended(&cache.ID{8}, &problem.Problem{})
	if f.Take() != nil {
		t.Error("the suspension of another partition was told")
	}
	f.Close()
	f.Close()
	other.Close()
	if h.Topics() != 0 {
		t.Errorf("%d topics left", h.Topics())
	}
}

func TestSharedWake(t *testing.T) {
	h := NewHub()
	wake := make(chan struct{}, 1)
	a, b := h.FollowWith(wake, &cache.ID{1}, &cache.ID{}), h.FollowWith(wake, &cache.ID{2}, &cache.ID{})
	h.Published(entry(1, "queued"))
	h.Published(entry(2, "queued"))
	<-wake
	if a.Take() == nil || b.Take() == nil {
		t.Error("one wake did not stand for both")
	}
}

func TestEvents(t *testing.T) {
	n := &News{Entry: entry(1, "queued")}
	if got, want := string(n.Event(false)), "id: queued\ndata: {\"status\":\"queued\"}\n\n"; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
	if got, want := string(n.Event(true)), "id: nqueued\ndata: {\"status\":\"queued\",\"native\":{\"s\":\ndata: 1}}\n\n"; got != want {
		t.Errorf("native event %q, want %q", got, want)
	}
	if one, two := n.Event(false), n.Event(false); &one[0] != &two[0] {
		t.Error("followers do not share the event")
	}
}

func FuzzAppendEvent(f *testing.F) {
	f.Add("{}")
	f.Add("a\r\nb\rc\n\nd: e")
	f.Fuzz(func(t *testing.T, data string) {
		event := AppendEvent(nil, "", "x", []byte(data))
		if bytes.ContainsRune(event, '\r') || bytes.Count(event, []byte("\n\n")) != 1 || !bytes.HasSuffix(event, []byte("\n\n")) {
			t.Fatalf("%q became %q", data, event)
		}
		var lines []string
		for _, line := range strings.Split(strings.TrimSuffix(string(event), "\n\n"), "\n")[1:] {
			lines = append(lines, strings.TrimPrefix(line, "data: "))
		}
		want := strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
		if got := strings.Join(lines, "\n"); got != want {
			t.Fatalf("%q reads as %q", want, got)
		}
	})
}

// BenchmarkFanOut measures how long it takes until every follower of one task
// has taken a change, and what a follower weighs.
func BenchmarkFanOut(b *testing.B) {
	for _, followers := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(followers), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			h := NewHub()
			var took, ended sync.WaitGroup
			all := make([]*Follower, followers)
			stop := make(chan struct{})
			for i := range all {
				f := h.Follow(&cache.ID{1}, &cache.ID{2})
				all[i] = f
				ended.Go(func() {
					for {
						select {
						case <-f.Wake():
							if f.Take() != nil {
								took.Done()
							}
						case <-stop:
							return
						}
					}
				})
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			n := 0
			var worst time.Duration
			for b.Loop() {
				n++
				took.Add(followers)
				start := time.Now()
				h.Published(entry(1, fmt.Sprint(n)))
				took.Wait()
				worst = max(worst, time.Since(start))
			}
			b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/float64(followers), "B/follower")
			b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
			close(stop)
			ended.Wait()
			for _, f := range all {
				f.Close()
			}
		})
	}
}
