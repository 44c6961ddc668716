package poller

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/proxy/poller/upstream"
)

// slow is an upstream that takes a while for every answer.
func slow(d time.Duration) func(int64, *http.Request) (*http.Response, error) {
	return func(_ int64, req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return reply(200, vesslRunning)
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// TestSlowUpstreamDelaysNoOther: while 600 watched tasks of one upstream take
// four seconds each, the task of another one is polled on time, and so are the
// settling polls of a third.
func TestSlowUpstreamDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", slow(4*time.Second))
		for i := range 600 {
			release, _ := b.Watch(b.request(fmt.Sprint("key", i%7), fmt.Sprint("job", i)))
			defer release()
		}
		time.Sleep(10 * time.Second)
		beside := b.beside()
		release, _ := beside.Watch(beside.request("a", "job1"))
		defer release()
		before := beside.polls.Load()
		time.Sleep(20 * time.Second)
		if polls := beside.polls.Load() - before; polls < 10 {
			t.Errorf("the other upstream's task was polled %d times in 20s, want every 2s", polls)
		}
	})
}

// TestHangingTasksDelayNoOtherCredential: the watched tasks of one credential
// hang, and another one's of the same upstream goes on.
func TestHangingTasksDelayNoOtherCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if strings.Contains(req.URL.Path, "hang") {
				return slow(9*time.Second)(n, req)
			}
			return reply(200, vesslRunning)
		})
		b.poll("b", "job1")
		for i := range 300 {
			release, _ := b.Watch(b.request("a", fmt.Sprint("hang", i)))
			defer release()
		}
		time.Sleep(time.Second)
		for range 20 { // and a client that hangs in as many polls
			go b.poll("a", fmt.Sprint("hang", 1000))
		}
		synctest.Wait()
		start := time.Now()
		b.want(b.poll("b", "job2"), "200 in_progress; pollux; fwd=uri-miss; stored")
		if took := time.Since(start); took > 0 {
			t.Errorf("another credential's poll waited for %v", took)
		}
		release, _ := b.Watch(b.request("b", "job3"))
		defer release()
		time.Sleep(11 * time.Second)
		if e := b.entry(b.poll("b", "job3")); e.Polls < 5 {
			t.Errorf("another credential's watched task was polled %d times in 11s, want every 2s", e.Polls)
		}
	})
}

// TestContinueWakesTheWatch: after a continue has passed through, a watched task
// is polled at once, also while a poll is under way that began before.
func TestContinueWakesTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orq", func(n int64, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(200, orqBody("input-required"))
			}
			return reply(200, orqBody("in_progress"))
		}, func(c *upstream.Config) { c.Freshness.RequiresAction = time.Hour })
		release, _ := b.Watch(b.request("a", "agent/t1"))
		defer release()
		time.Sleep(5 * time.Second)
		b.wantPolls(1)
		b.Freshen(b.request("a", "agent/t1"), http.MethodPost)
		synctest.Wait()
		b.wantPolls(2)
	})
}

// TestOrphanComesToCostLittle: a watched task that its upstream never ends, or
// never answers for again, is polled less and less.
func TestOrphanComesToCostLittle(t *testing.T) {
	for name, answer := range map[string]func(int64, *http.Request) (*http.Response, error){
		"never ends": always(200, vesslRunning), "never answers again": always(400, `{"message":"no"}`),
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", answer)
			release, _ := b.Watch(b.request("a", "job1"))
			defer release()
			time.Sleep(10 * time.Minute)
			if polls := b.polls.Load(); polls < 10 {
				t.Errorf("%s: %d polls in the first ten minutes", name, polls)
			}
			time.Sleep(3 * 24 * time.Hour)
			if polls := b.polls.Load(); polls > 2700 {
				t.Errorf("%s: %d polls in three days, want one each %v in the end", name, polls, slowest)
			}
		})
	}
}
