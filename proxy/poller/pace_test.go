package poller

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/proxy/poller/upstream"
)

// TestAdaptiveScheduleLearns: tasks that always take a minute soon cost few
// polls, and their end is still noticed in time.
func TestAdaptiveScheduleLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		born, polls := map[string]time.Time{}, map[string]int{}
		b := newBench(t, "aitronos", func(_ int64, req *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			id := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
			polls[id]++
			created := born[id]
			if time.Since(created) < time.Minute {
				return reply(200, fmt.Sprintf(`{"id":%q,"status":"processing","createdAt":%d,"model":"m"}`, id, created.Unix()))
			}
			return reply(200, fmt.Sprintf(`{"id":%q,"status":"completed","createdAt":%d,"model":"m","output":[]}`, id, created.Unix()))
		}, func(c *upstream.Config) { c.Schedule = "adaptive" })
		var first, last int
		for i := range 200 {
			id := fmt.Sprintf("resp_%d", i)
			mu.Lock()
			born[id] = time.Now()
			mu.Unlock()
			r := b.request("a", id)
			release, problem := b.Watch(r)
			if problem != nil {
				t.Fatal(problem)
			}
			time.Sleep(3 * time.Minute)
			e, ok := b.memory.Get(&r.Key)
			if !ok || !e.Frozen {
				t.Fatalf("task %d is not known to have ended after three minutes", i)
			}
			if delay := e.ObservedAt.Sub(born[id]) - time.Minute; delay > 66*time.Second {
				t.Errorf("task %d: end noticed after %v, want at most max_delay and its jitter", i, delay)
			}
			release()
			if i < 10 {
				first += polls[id]
			} else if i >= 190 {
				last += polls[id]
			}
		}
		if first < 60 || last > first/2 {
			t.Errorf("the first ten tasks took %d polls and the last ten %d, want less than half", first, last)
		}
	})
}
