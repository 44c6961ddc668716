package poller

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
)

// TestFailingPollsAreHeld: forty polls of one task in less than the provider's
// minimum cost the upstream one, whatever it answers, and everybody gets that.
func TestFailingPollsAreHeld(t *testing.T) {
	outcomes := map[string]func() (*http.Response, error){
		"400":         func() (*http.Response, error) { return reply(400, `{"message":"no"}`) },
		"401":         func() (*http.Response, error) { return reply(401, `{"message":"no"}`) },
		"402":         func() (*http.Response, error) { return reply(402, `{"message":"no"}`) },
		"403":         func() (*http.Response, error) { return reply(403, `{"message":"no"}`) },
		"404":         func() (*http.Response, error) { return reply(404, `{"message":"no"}`) },
		"409":         func() (*http.Response, error) { return reply(409, `{"message":"no"}`) },
		"422":         func() (*http.Response, error) { return reply(422, `{"message":"no"}`) },
		"302":         func() (*http.Response, error) { return reply(302, ``) },
		"202":         func() (*http.Response, error) { return reply(202, `{}`) },
		"408":         func() (*http.Response, error) { return reply(408, `{}`) },
		"429":         func() (*http.Response, error) { return reply(429, `{}`) },
		"500":         func() (*http.Response, error) { return reply(500, `{}`) },
		"503":         func() (*http.Response, error) { return reply(503, `{}`) },
		"no answer":   func() (*http.Response, error) { return refuse(0, nil) },
		"an HTML 200": func() (*http.Response, error) { return reply(200, `<p>`) },
	}
	for name, outcome := range outcomes {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, document stored: %v", name, known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					failing := !known
					b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
						if failing {
							return outcome()
						}
						return reply(200, vesslRunning)
					})
					if known {
						b.poll("a", "job1")
						time.Sleep(3 * time.Second)
						failing = true
					}
					before := b.polls.Load()
					first := b.poll("a", "job1")
					for i := range 39 {
						time.Sleep(12 * time.Millisecond)
						r := b.request("a", "job1")
						r.NoCache = i%2 == 0
						a := b.Poll(context.Background(), r)
						if (a.Problem == nil) != (first.Problem == nil) || a.Problem != nil && (a.Problem.Type != first.Problem.Type || a.Problem.Status != first.Problem.Status) {
							t.Fatalf("poll %d is %s after %s", i, said(a), said(first))
						}
						status := string(a.Cache.Append(nil))
						switch {
						case name == "429" && !strings.HasSuffix(status, "detail=rate-limited"), name != "429" && name != "404" && !strings.HasSuffix(status, "detail=held"):
							t.Fatalf("poll %d: Cache-Status %s", i, status)
						case a.Problem == nil && (!strings.HasPrefix(status, "pollux; hit") || a.RetryAfter <= 0):
							t.Fatalf("poll %d: Cache-Status %s, retry after %v", i, status, a.RetryAfter)
						case a.Problem != nil && name != "404" && (a.Problem.RetryAfter <= 0 || name != "429" && a.Age != time.Duration(i+1)*12*time.Millisecond):
							t.Fatalf("poll %d: age %v, retry after %v", i, a.Age, a.Problem.RetryAfter)
						}
					}
					b.wantPolls(before + 1)
					other := b.poll("b", "job1")
					if b.polls.Load() != before+2 || (first.Problem != nil) != (other.Problem != nil) && !known {
						t.Errorf("another credential got %s, and the upstream %d polls", said(other), b.polls.Load()-before)
					}
					time.Sleep(6 * time.Second)
					b.poll("a", "job1")
					b.wantPolls(before + 3)
				})
			})
		}
	}
}

// TestRetryAfterOfAnyAnswer is obeyed for the task, and for no other one unless
// the answer is a 429.
func TestRetryAfterOfAnyAnswer(t *testing.T) {
	for _, c := range []struct {
		code  int
		value string
		want  time.Duration
	}{
		{503, "30", 30 * time.Second}, {503, "29.05", 30 * time.Second}, {408, "30", 30 * time.Second}, {400, "30", 30 * time.Second},
		{401, "30", 30 * time.Second}, {403, "30", 30 * time.Second}, {404, "30", 30 * time.Second}, {302, "30", 30 * time.Second},
		{202, "30", 30 * time.Second}, {503, "soon", time.Second / 2}, {503, "", time.Second / 2}, {503, "99999999", 15 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%d %q", c.code, c.value), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
					if strings.Contains(req.URL.Path, "job1") {
						return reply(c.code, `{"message":"no"}`, "Retry-After", c.value)
					}
					return reply(200, vesslRunning)
				})
				b.poll("a", "job1")
				time.Sleep(max(c.want, time.Second/2) - 10*time.Millisecond)
				b.poll("a", "job1")
				b.wantPolls(1)
				b.poll("a", "job2")
				b.wantPolls(2)
				time.Sleep(time.Second)
				b.poll("a", "job1")
				b.wantPolls(3)
			})
		})
	}
}

// TestRetryAfterHoldsNoCache: a caller's no-cache asks no sooner than the
// upstream wants to be asked, whatever it answered.
func TestRetryAfterHoldsNoCache(t *testing.T) {
	for _, code := range []int{200, 404, 410, 503} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
				return reply(code, vesslRunning, "Retry-After", "30")
			})
			ask := b.request("a", "job1")
			ask.NoCache = true
			b.Poll(t.Context(), ask)
			time.Sleep(29 * time.Second)
			a := b.Poll(t.Context(), ask)
			b.wantPolls(1)
			if a.Problem != nil && (a.Problem.RetryAfter != time.Second || a.RetryAfter != time.Second || a.Age != 29*time.Second) {
				t.Errorf("%d: age %v, to be asked again in %v and %v", code, a.Age, a.RetryAfter, a.Problem.RetryAfter)
			}
			time.Sleep(time.Second)
			b.Poll(t.Context(), ask)
			b.wantPolls(2)
		})
	}
}

// TestRetryAfterThroughRestart: what the upstream asked for with the last answer
// about a running task holds for the process that comes after, for no-cache too.
func TestRetryAfterThroughRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		answer := always(200, vesslRunning, "Retry-After", "40")
		before := newBenchOver(t, store, "vessl", answer)
		for range 2 { // the second brings nothing new but the wish
			before.poll("a", "job1")
			time.Sleep(40 * time.Second)
		}
		before.poll("a", "job1")
		time.Sleep(20 * time.Second)
		b := newBenchOver(t, store, "vessl", answer)
		ask := b.request("a", "job1")
		for range 2 {
			if a := b.Poll(t.Context(), ask); time.Until(b.entry(a).FreshUntil) != 20*time.Second {
				t.Errorf("no-cache %v: fresh for %v, want the 20s that are left", ask.NoCache, time.Until(a.Entry.FreshUntil))
			}
			ask.NoCache = true
		}
		b.wantPolls(0)
		time.Sleep(20 * time.Second)
		b.Poll(t.Context(), ask)
		b.wantPolls(1)
	})
}

// TestStaleDocumentSaysWhenToAskAgain: who gets the old document is told when
// the upstream may be asked again.
func TestStaleDocumentSaysWhenToAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
			if n > 1 {
				return reply(503, `{}`, "Retry-After", "40")
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "job1")
		time.Sleep(5 * time.Second)
		a := b.poll("a", "job1")
		b.want(a, "200 in_progress; pollux; fwd=stale; fwd-status=503; detail=stale-if-error")
		if a.RetryAfter != 40*time.Second {
			t.Errorf("retry after %v, want 40s", a.RetryAfter)
		}
		time.Sleep(10 * time.Second)
		a = b.poll("a", "job1")
		b.want(a, "200 in_progress; pollux; hit; ttl=-13; detail=held")
		if a.RetryAfter != 30*time.Second {
			t.Errorf("retry after %v, want 30s", a.RetryAfter)
		}
		b.wantPolls(2)
	})
}

// TestOneLossIsAHiccup: a 404 or 410 between good answers ends nothing, and what
// was known before goes on.
func TestOneLossIsAHiccup(t *testing.T) {
	for _, code := range []int{404, 410} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
				switch {
				case n == 3, n == 4:
					return reply(code, `{"message":"request not found"}`)
				case n > 5:
					return reply(200, vesslDone)
				}
				return reply(200, vesslRunning)
			})
			d := &diary{}
			b.Observe(d)
			release, _ := b.Watch(b.request("a", "job1"))
			defer release()
			time.Sleep(time.Minute)
			d.want(t, "job1 in_progress", "job1 completed for good")
			if e := b.entry(b.poll("a", "job1")); len(e.History) != 2 {
				t.Errorf("the history is %v, want it to go on over the hiccup", e.History)
			}
		})
	}
}

// TestLossIsUnconfirmedAtFirst: followers who begin during a hiccup are to wait
// it out, and native callers get the upstream's own words from memory.
func TestLossIsUnconfirmedAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if n > 1 {
				return reply(404, `{"message":"request not found"}`)
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "job1")
		for _, unconfirmed := range []bool{true, true, true, false} {
			time.Sleep(4 * time.Second)
			for range 2 { // the second from memory
				a := b.poll("a", "job1")
				if a.Problem == nil || a.Problem.Status != 410 || a.Unconfirmed != unconfirmed || a.Raw == nil || string(a.Raw.Body) != `{"message":"request not found"}` {
					t.Errorf("%+v, want a 410, unconfirmed: %v, with the upstream's body", a, unconfirmed)
				}
			}
		}
		if a := b.poll("a", "job2"); a.Problem == nil || a.Unconfirmed {
			t.Errorf("a task that nobody has seen: %+v", a)
		}
	})
}

func TestThreeLossesOverTenSecondsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
			if n > 1 {
				return reply(404, `{"message":"request not found"}`)
			}
			return reply(200, vesslRunning)
		})
		d := &diary{}
		b.Observe(d)
		b.poll("a", "job1")
		for _, forward := range []string{"stale", "uri-miss", "uri-miss"} {
			time.Sleep(4 * time.Second)
			b.want(b.poll("a", "job1"), "410 task-gone; pollux; fwd="+forward+"; fwd-status=404")
		}
		d.want(t, "job1 in_progress")
		time.Sleep(3 * time.Second)
		b.poll("a", "job1")
		d.want(t, "job1 in_progress", "lost: task-gone")
	})
}

// TestOpenBreakerUsesNoBudget: the polls that a breaker turns away are there
// when it closes.
func TestOpenBreakerUsesNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if down.Load() {
				return refuse(n, req)
			}
			return reply(200, vesslRunning)
		}, func(c *upstream.Config) { c.Rate = &upstream.RateConfig{Requests: 10, Per: time.Hour} })
		down.Store(true)
		for i := range 5 {
			b.poll("a", fmt.Sprint("bad", i))
		}
		for i := range 5 {
			b.want(b.poll("a", fmt.Sprint("held", i)), "503 upstream-unavailable; pollux; detail=breaker-open")
		}
		down.Store(false)
		time.Sleep(12 * time.Second)
		for i := range 5 {
			b.want(b.poll("a", fmt.Sprint("good", i)), "200 in_progress; pollux; fwd=uri-miss; stored")
		}
		b.want(b.poll("a", "more"), "429 rate-limited; pollux; detail=rate-limited")
	})
}

// TestNeutralProbeLetsTheNextOneThrough: a probe of a half-open breaker that
// ends with a 429, or without a poll to spend, says nothing, and holds up none.
func TestNeutralProbeLetsTheNextOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := refuse
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) { return answer(n, req) })
		for i := range 5 {
			b.poll("a", fmt.Sprint("bad", i))
		}
		time.Sleep(12 * time.Second)
		answer = always(429, `{}`, "Retry-After", "60")
		b.want(b.poll("a", "job1"), "429 rate-limited; pollux; fwd=uri-miss; fwd-status=429")
		answer = always(200, vesslRunning)
		b.want(b.poll("b", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
		if got := b.up().BreakerState(); got != "closed" {
			t.Errorf("breaker is %s after a good probe", got)
		}
	})
}

// TestWaitingAndAskingShareTheTimeout: a poll that waited for its turn asks for
// what is left of the timeout, and the upstream is not blamed.
func TestWaitingAndAskingShareTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(8 * time.Second):
				return reply(200, vesslRunning)
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}, func(c *upstream.Config) { c.MaxInFlight = 1 })
		start := time.Now()
		go b.poll("a", "job1")
		synctest.Wait()
		a := b.poll("a", "job2")
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waiting and asking took %v, want the timeout of 10s", took)
		}
		b.want(a, "503 overloaded; pollux; detail=overloaded")
	})
}

// TestHeldWhileSuspended: a suspended credential is shown nothing stored, and
// still does not ask again at once for a task that does not exist.
func TestHeldWhileSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 401
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) { return reply(code, `{"message":"no"}`) })
		b.poll("a", "job1")
		code = 404
		before := b.polls.Load()
		for range 10 {
			if got := b.poll("a", "job2"); got.Problem == nil || got.Problem.Status != 404 {
				t.Fatalf("a task that does not exist, for a refused credential: %s", said(got))
			}
		}
		b.wantPolls(before + 1)
	})
}

// TestWishIsOfItsAnswer: where the store has a later answer that brought nothing
// new, what the upstream asked for with the one before does not hold.
func TestWishIsOfItsAnswer(t *testing.T) {
	at := time.Now()
	for later, want := range map[time.Duration]time.Duration{0: time.Hour, time.Microsecond: time.Hour, time.Second: 0} {
		e := &cache.Entry{ObservedAt: at, FreshUntil: at.Add(time.Hour), Asked: time.Hour}
		g := &cache.Grant{ObservedAt: at.Add(later), FreshUntil: at.Add(2 * time.Hour)}
		if observedAt(e, g); e.Asked != want || !e.ObservedAt.Equal(g.ObservedAt) || !e.FreshUntil.Equal(g.FreshUntil) {
			t.Errorf("%v later: asked to be left alone for %v, want %v", later, e.Asked, want)
		}
	}
}
