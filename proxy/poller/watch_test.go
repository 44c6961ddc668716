package poller

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// notes is an observer that remembers.
type notes struct {
	mu        sync.Mutex
	published []string
	lost      []problem.Type
	suspended int
}

func (n *notes) Published(e *cache.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := len(n.published); k == 0 || n.published[k-1] != e.Status {
		n.published = append(n.published, e.Status)
	}
}

func (n *notes) Lost(_ *cache.ID, p *problem.Problem) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = append(n.lost, p.Type)
}

func (n *notes) Resumed(*cache.ID) {}

func (n *notes) Suspended(*cache.ID, *problem.Problem) { n.mu.Lock(); n.suspended++; n.mu.Unlock() }

func TestWatchedTaskIsPolledUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", inTurn(vesslPending, vesslRunning, vesslRunning, vesslDone))
		n := &notes{}
		b.Observe(n)
		release, problem := b.Watch(b.request("a", "job1"))
		if problem != nil {
			t.Fatal(problem)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.wantPolls(4)
		if got := n.published; len(got) != 3 || got[2] != "completed" {
			t.Errorf("published %v", got)
		}
		release()
		release()
		if b.Watched() != 0 {
			t.Errorf("%d tasks watched after release", b.Watched())
		}
	})
}

func TestReleasedTaskIsNotPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning))
		first, _ := b.Watch(b.request("a", "job1"))
		second, _ := b.Watch(b.request("a", "job1"))
		time.Sleep(9 * time.Second)
		b.wantPolls(5)
		first()
		time.Sleep(10 * time.Second)
		b.wantPolls(10)
		second()
		time.Sleep(time.Minute)
		b.wantPolls(10)
	})
}

func TestWatchersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var says atomic.Pointer[func() (*http.Response, error)]
		say := func(code int, body string) {
			f := func() (*http.Response, error) { return reply(code, body) }
			says.Store(&f)
		}
		say(200, vesslRunning)
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) { return (*says.Load())() })
		n := &notes{}
		b.Observe(n)
		release, _ := b.Watch(b.request("a", "job1"))
		defer release()
		time.Sleep(3 * time.Second)
		say(401, `{"message":"Unauthorized"}`)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n.suspended != 1 {
			t.Errorf("told of %d suspensions, want 1", n.suspended)
		}
		say(404, `{"message":"request not found"}`)
		time.Sleep(10 * time.Minute) // three polls in a row, each after a longer pause
		synctest.Wait()
		if len(n.lost) == 0 || n.lost[0] != problem.TaskGone {
			t.Errorf("told of losses %v, want task-gone first", n.lost)
		}
	})
}

func TestOutageOfManyWatchedTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if down.Load() {
				return refuse(n, req)
			}
			return reply(200, vesslRunning)
		})
		const tasks = 100
		for i := range tasks {
			release, _ := b.Watch(b.request("a", "job"+string(rune('a'+i/26%26))+string(rune('a'+i%26))))
			defer release()
		}
		time.Sleep(10 * time.Second)
		down.Store(true)
		time.Sleep(5 * time.Second)
		before := b.polls.Load()
		time.Sleep(10 * time.Minute)
		if probes := b.polls.Load() - before; probes > 60 {
			t.Errorf("%d probes in ten minutes of outage", probes)
		}
		down.Store(false)
		time.Sleep(6 * time.Minute) // the breaker's longest pause and the ramp
		before = b.polls.Load()
		time.Sleep(20 * time.Second)
		if polls := b.polls.Load() - before; polls < 9*tasks || polls > 12*tasks {
			t.Errorf("%d polls in 20 s after recovery, want about %d", polls, 10*tasks)
		}
	})
}

// TestShortBudgetGoesToTheMostUrgent: with one poll a second for forty tasks,
// the one that was longest without news is next, so nobody starves.
func TestShortBudgetGoesToTheMostUrgent(t *testing.T) {
	for _, schedule := range []string{"fixed", "adaptive"} {
		t.Run(schedule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				polls := map[string]int{}
				b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
					mu.Lock()
					polls[req.URL.Path]++
					mu.Unlock()
					return reply(200, vesslRunning)
				}, func(c *upstream.Config) {
					c.Schedule, c.Rate = schedule, &upstream.RateConfig{Requests: 1, Per: time.Second, Burst: 1}
				})
				const tasks = 40
				for i := range tasks {
					release, problem := b.Watch(b.request("a", "job"+string(rune('a'+i/26))+string(rune('a'+i%26))))
					if problem != nil {
						t.Fatal(problem)
					}
					defer release()
				}
				time.Sleep(400 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				least, most, all := 1<<30, 0, 0
				for _, n := range polls {
					least, most, all = min(least, n), max(most, n), all+n
				}
				if len(polls) != tasks || all > 402 || least < 5 || most > 2*least || schedule == "fixed" && all < 380 {
					t.Errorf("%d tasks were polled %d times in 400 s, each %d to %d times", len(polls), all, least, most)
				}
			})
		})
	}
}

// TestSuspendedMachineMakesNoHerd: polls that fell due while the machine slept
// are spread over half a minute instead of made at once.
func TestSuspendedMachineMakesNoHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning))
		const tasks = 200
		requests := make([]Request, tasks)
		for i := range requests {
			requests[i] = b.request("a", "job"+string(rune('a'+i/26))+string(rune('a'+i%26)))
			release, problem := b.Watch(requests[i])
			if problem != nil {
				t.Fatal(problem)
			}
			defer release()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, r := range requests { // as the schedule does when a minute was slept through
			b.watches.queue.Cancel(&r.Key)
			there := b.watches.byKey[r.Key]
			there.release = func() {}
			b.watchOnce(t.Context(), there, time.Minute)
		}
		before := b.polls.Load()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		// Each task polled anew goes on every two seconds.
		if polls := b.polls.Load() - before; polls < tasks/10 || polls > tasks {
			t.Errorf("%d polls in the first five seconds for %d tasks", polls, tasks)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		before = b.polls.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if polls := b.polls.Load() - before; polls < 4*tasks || polls > 6*tasks {
			t.Errorf("%d polls in ten seconds afterwards, want about %d", polls, 5*tasks)
		}
	})
}

// TestReloadOfWatchedTasks: a watched task goes on after a reload on the new
// upstream, unless that is another one or has a credential of ours now: nothing
// is asked at the old address any more, nor with another credential.
func TestReloadOfWatchedTasks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*upstream.Config)
		polled bool
	}{
		{"nothing", func(*upstream.Config) {}, true},
		{"a limit", func(c *upstream.Config) { c.MaxInFlight = 1 }, true},
		{"the address", func(c *upstream.Config) { c.BaseURL = "http://other.test" }, false},
		{"the mode of the credential", func(c *upstream.Config) { c.Credential = upstream.CredentialConfig{Value: "ours"} }, false},
		{"the provider", func(c *upstream.Config) { c.Provider = "shannon" }, false},
		{"removed", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rate := upstream.RateConfig{Requests: 30, Per: time.Minute, Burst: 2}
				b := newBench(t, "vessl", always(200, vesslRunning), func(c *upstream.Config) { c.Rate = &rate })
				for _, job := range []string{"job1", "job2", "job3"} { // more than the budget is for: some wait for their turn
					release, _ := b.Watch(b.request("a", job))
					defer release()
				}
				time.Sleep(9 * time.Second) // between two polls of the budget
				synctest.Wait()
				before := b.polls.Load()
				if before < 4 {
					t.Fatalf("%d polls before the reload", before)
				}
				cfg := b.up().Config
				all := map[string]upstream.Config{}
				if c.change != nil {
					c.change(&cfg)
					all["vessl"] = cfg
				}
				set, err := providers.Builtin()
				if err != nil {
					t.Fatal(err)
				}
				built, use, err := b.Prepare(Config{Upstreams: all}, set)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range built {
					u.Transport = b.script
				}
				use()
				time.Sleep(time.Minute)
				if polled := b.polls.Load() > before; polled != c.polled {
					t.Errorf("%d polls before the reload, %d after it", before, b.polls.Load()-before)
				}
			})
		})
	}
}
