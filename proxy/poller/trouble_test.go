package poller

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

func refuse(int64, *http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

func TestStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(200, vesslRunning)
			}
			return reply(503, `{"message":"no"}`)
		}, func(c *upstream.Config) { c.Breaker.Failures = 1000; c.Breaker.Minimum = 1000 })
		b.poll("a", "job1")
		time.Sleep(5 * time.Minute)
		a := b.poll("a", "job1")
		b.want(a, "200 in_progress; pollux; fwd=stale; fwd-status=503; detail=stale-if-error")
		if age := a.Entry.Age(time.Now()); age != 5*time.Minute {
			t.Errorf("age is %v, want 5m", age)
		}
		time.Sleep(6 * time.Minute)
		b.want(b.poll("a", "job1"), "502 upstream-error; pollux; fwd=stale; fwd-status=503")
	})
}

func TestRateLimitPausesOneCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := false
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			if limited && req.Header.Get("Authorization") == "Bearer a" {
				return reply(429, `{"message":"Too Many Requests"}`, "Retry-After", "12")
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "job1")
		time.Sleep(3 * time.Second)
		limited = true
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=stale; fwd-status=429; detail=rate-limited")
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; hit; ttl=-1; detail=rate-limited")
		a := b.poll("a", "job2")
		b.want(a, "429 rate-limited; pollux; detail=rate-limited")
		if a.Problem.RetryAfter != 12*time.Second {
			t.Errorf("retry after %v, want 12s", a.Problem.RetryAfter)
		}
		b.wantPolls(2)
		b.want(b.poll("b", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
		limited = false
		time.Sleep(12 * time.Second)
		b.want(b.poll("a", "job2"), "200 in_progress; pollux; fwd=uri-miss; stored")
		if got := b.up().BreakerState(); got != "closed" {
			t.Errorf("breaker is %s after a 429", got)
		}
	})
}

func TestPauseAfterARateLimit(t *testing.T) {
	for _, c := range []struct {
		name, retryAfter string
		want             time.Duration
	}{
		{"absent", "", defaultPause},
		{"malformed", "soon", defaultPause},
		{"negative", "-1", defaultPause},
		{"zero", "0", time.Second},
		{"seconds", "7", 7 * time.Second},
		{"absurd", "99999999999999999999", 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "vessl", always(429, `{"message":"Too Many Requests"}`, "Retry-After", c.retryAfter))
				a := b.poll("a", "job1")
				if a.Problem == nil || a.Problem.RetryAfter != c.want {
					t.Fatalf("Retry-After %q: got %+v, want a pause of %v", c.retryAfter, a.Problem, c.want)
				}
				b.poll("a", "job2")
				b.wantPolls(1)
				time.Sleep(c.want)
				b.poll("a", "job2")
				b.wantPolls(2)
			})
		})
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning), func(c *upstream.Config) {
			c.Rate = &upstream.RateConfig{Requests: 60, Per: time.Minute, Burst: 2}
		})
		b.poll("a", "job1")
		b.poll("a", "job2")
		a := b.poll("a", "job3")
		b.want(a, "429 rate-limited; pollux; detail=rate-limited")
		if got := a.Problem.RetryAfter.Round(time.Millisecond); got != time.Second {
			t.Errorf("retry after %v, want 1s", got)
		}
		b.want(b.poll("b", "job3"), "200 in_progress; pollux; fwd=uri-miss; stored")
		time.Sleep(time.Second)
		b.want(b.poll("a", "job3"), "200 in_progress; pollux; fwd=uri-miss; stored")
	})
}

func TestBreakerOpensOnTransportFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if down {
				return refuse(n, req)
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "job1")
		time.Sleep(3 * time.Second)
		down = true
		for range 5 {
			b.want(b.poll("b", "job2"), "502 upstream-error; pollux; fwd=uri-miss")
			b.later()
		}
		b.wantPolls(6)
		a := b.poll("c", "job3")
		b.want(a, "503 upstream-unavailable; pollux; detail=breaker-open")
		if a.Problem.RetryAfter < time.Second {
			t.Errorf("retry after %v, want at least 1s", a.Problem.RetryAfter)
		}
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; hit; ttl=-3; detail=breaker-open")
		b.wantPolls(6)
		time.Sleep(11 * time.Second) // open_for and its jitter
		b.poll("a", "job1")          // the probe fails, and the pause doubles
		b.wantPolls(7)
		time.Sleep(15 * time.Second)
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; hit; ttl=-29; detail=breaker-open")
		down = false
		time.Sleep(8 * time.Second)
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=stale; stored")
		if got := b.up().BreakerState(); got != "closed" {
			t.Errorf("breaker is %s after a good probe", got)
		}
	})
}

// TestBreakerOpensOnSlowFailures: failures in a row are enough, however long
// each takes.
func TestBreakerOpensOnSlowFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		for range 5 {
			b.want(b.poll("a", "job1"), "504 upstream-timeout; pollux; fwd=uri-miss")
			b.later()
		}
		b.want(b.poll("a", "job1"), "503 upstream-unavailable; pollux; detail=breaker-open")
		b.wantPolls(5)
	})
}

func TestOneCredentialsFailuresCutOffOnlyIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := "Bearer a"
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			if auth := req.Header.Get("Authorization"); auth == bad || bad == "" {
				return reply(500, `{"message":"boom"}`)
			}
			return reply(200, vesslRunning)
		})
		for range 20 {
			b.poll("a", "job1")
			b.later()
		}
		b.wantPolls(5)
		b.want(b.poll("a", "job2"), "503 upstream-unavailable; pollux; detail=breaker-open")
		b.want(b.poll("b", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
		bad = "" // now everybody's polls fail
		for _, c := range []string{"c", "d", "c", "d", "c", "d", "c", "d"} {
			b.poll(c, "job1")
			b.later()
		}
		b.want(b.poll("e", "job1"), "503 upstream-unavailable; pollux; detail=breaker-open")
	})
}

func TestRefusedKeySuspendsThePartitionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := false
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
			if revoked {
				return reply(401, `{"message":"Unauthorized"}`)
			}
			return reply(200, vesslDone)
		})
		b.poll("a", "job1")
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		revoked = true
		b.want(b.poll("a", "job2"), "401 unauthorized; pollux; fwd=uri-miss; fwd-status=401")
		b.want(b.poll("a", "job1"), "401 unauthorized; pollux; fwd=stale; fwd-status=401")
		revoked = false
		b.later()
		b.want(b.poll("a", "job2"), "200 completed; pollux; fwd=uri-miss; stored")
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
	})
}

func TestLossWhileSuspendedKeepsTheFinalAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 200
		b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
			if code == 200 {
				return reply(200, vesslDone)
			}
			return reply(code, `{"message":"no"}`)
		})
		b.poll("a", "job1")
		code = 401
		b.poll("a", "job1")
		b.poll("a", "job2")
		code = 404
		b.want(b.poll("a", "job1"), "404 task-not-found; pollux; fwd=stale; fwd-status=404")
		code = 200
		b.later()
		b.want(b.poll("a", "job2"), "200 completed; pollux; fwd=uri-miss; stored")
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
	})
}

func TestReauthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		b := newBench(t, "vessl", func(n int64, req *http.Request) (*http.Response, error) {
			if down {
				return refuse(n, req)
			}
			return reply(200, vesslDone)
		}, func(c *upstream.Config) { c.Breaker.Failures = 1000; c.Breaker.Minimum = 1000 })
		b.poll("a", "job1")
		time.Sleep(14 * time.Minute)
		e := b.poll("a", "job1").Entry
		if maxAge, immutable := b.up().MaxAge(b.request("a", "job1").Partition, e, time.Now()); maxAge != 15*time.Minute || !immutable {
			t.Errorf("max-age is %v (immutable %v), want 15m: Age and what is left", maxAge, immutable)
		}
		b.wantPolls(1)
		time.Sleep(2 * time.Minute)
		b.want(b.poll("a", "job1"), "200 completed; pollux; fwd=stale; stored")
		b.wantPolls(2)
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		down = true
		time.Sleep(16 * time.Minute)
		b.want(b.poll("a", "job1"), "200 completed; pollux; fwd=stale; detail=stale-if-error")
		time.Sleep(15 * time.Minute)
		b.want(b.poll("a", "job1"), "502 upstream-error; pollux; fwd=stale")
		down = false
		b.later()
		b.want(b.poll("a", "job1"), "200 completed; pollux; fwd=stale; stored")
	})
}

func TestReauthorizeSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		b := newBenchOver(t, store, "vessl", always(200, vesslDone))
		b.poll("a", "job1")
		time.Sleep(14 * time.Minute)
		b = newBenchOver(t, store, "vessl", always(200, vesslDone))
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
		time.Sleep(2 * time.Minute)
		b.poll("a", "job1")
		b.wantPolls(1)
	})
}

func TestForbiddenDropsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
			if n == 2 {
				return reply(403, `{"message":"Forbidden"}`)
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "job1")
		time.Sleep(3 * time.Second)
		b.want(b.poll("a", "job1"), "403 forbidden; pollux; fwd=stale; fwd-status=403")
		b.later()
		b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=uri-miss; stored")
	})
}

func TestRejectedPoll(t *testing.T) {
	b := newBench(t, "orq", always(422, `{"error":{"code":"variant_not_resolved","message":"secret words"}}`))
	a := b.poll("a", "agent/t1")
	b.want(a, "422 upstream-rejected; pollux; fwd=uri-miss; fwd-status=422")
	if !strings.Contains(a.Problem.Detail, "variant_not_resolved") || strings.Contains(a.Problem.Detail, "secret words") {
		t.Errorf("detail is %q, want the code and not the upstream's text", a.Problem.Detail)
	}
}

func TestEchoedCredentialStaysOut(t *testing.T) {
	for _, c := range []struct {
		name, code string
		said       bool
	}{
		{"whole", "sk-marker-123", false},
		{"part", "marker", false},
		{"within", "refused_sk-marker-123!", false},
		{"with its scheme", "Bearer sk-marker-123", false},
		{"none of it", "not_found", true},
		{"by chance", "sk", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "orq", always(400, `{"error":{"code":"`+c.code+`","message":"bad key"}}`))
			if a := b.poll("sk-marker-123", "agent/t1"); strings.Contains(a.Problem.Detail, c.code) != c.said {
				t.Errorf("code %q: detail %q, want it to tell the code: %v", c.code, a.Problem.Detail, c.said)
			}
		})
	}
}

func TestEchoedCredentialIsNoWordToLog(t *testing.T) {
	for word, logged := range map[string]bool{"SK_MARKER_123": false, "NEW_WORD": true} {
		b := newBench(t, "orq", always(200, `{"task_id":"t1","status":"`+word+`"}`))
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		b.want(b.poll("SK_MARKER_123", "agent/t1"), "200 unknown; pollux; fwd=uri-miss; stored")
		if strings.Contains(log.String(), word) != logged {
			t.Errorf("word %q: log %q, want it to tell the word: %v", word, log.String(), logged)
		}
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		start := time.Now()
		b.want(b.poll("a", "job1"), "504 upstream-timeout; pollux; fwd=uri-miss")
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v, want the timeout of 10s", took)
		}
		b.wantPolls(1)
	})
}

func TestCutBodyIsNoAnswer(t *testing.T) {
	b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
		res, _ := reply(200, "")
		res.Body = cutBody{strings.NewReader(vesslDone)}
		return res, nil
	})
	b.want(b.poll("a", "job1"), "502 upstream-error; pollux; fwd=uri-miss")
	if len(b.store.entries) != 0 {
		t.Error("a cut answer was stored")
	}
}

func TestCompressedBodies(t *testing.T) {
	compress := func(write func(io.Writer)) string {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		write(zw)
		_ = zw.Close()
		return buf.String()
	}
	good := compress(func(w io.Writer) { _, _ = io.WriteString(w, vesslDone) })
	bomb := compress(func(w io.Writer) {
		block := make([]byte, 1<<20)
		for range 64 {
			_, _ = w.Write(block)
		}
	})
	tests := []struct{ name, body, coding, want string }{
		{"gzip", good, "gzip", "200 completed; pollux; fwd=uri-miss; stored"},
		{"bomb", bomb, "gzip", "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200"},
		{"damaged", good[:20] + "xx" + good[22:], "gzip", "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200"},
		{"not gzip", vesslDone, "gzip", "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200"},
		{"unasked coding", good, "br", "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200"},
		{"two codings", good, "gzip, gzip", "502 upstream-error; pollux; fwd=uri-miss; fwd-status=200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "vessl", always(200, tt.body, "Content-Encoding", tt.coding))
			b.want(b.poll("a", "job1"), tt.want)
		})
	}
}

func TestTooManyUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			time.Sleep(9 * time.Second)
			return reply(200, vesslRunning)
		}, func(c *upstream.Config) { c.MaxInFlight = 1 })
		answers := make(chan Answer, 3)
		for _, id := range []string{"job1", "job2", "job3"} {
			go func() { answers <- b.poll("a", id) }()
		}
		var busy int
		for range 3 {
			if a := <-answers; a.Problem != nil && a.Problem.Type == problem.Overloaded {
				busy++
			}
		}
		if busy != 1 {
			t.Errorf("%d polls were turned away, want 1 of 3", busy)
		}
	})
}

func TestMissesPerPartition(t *testing.T) {
	b := newBench(t, "vessl", always(200, vesslRunning))
	b.registry.Load().missesPerSecond, b.registry.Load().missesBurst = 0.001, 2
	b.poll("a", "job1")
	b.poll("a", "job2")
	b.want(b.poll("a", "job3"), "429 rate-limited; pollux; detail=rate-limited")
	b.want(b.poll("a", "job2"), "200 in_progress; pollux; hit; ttl=2")
	b.want(b.poll("b", "job3"), "200 in_progress; pollux; fwd=uri-miss; stored")
}

func TestCancel(t *testing.T) {
	var method, path string
	b := newBench(t, "shannon", func(n int64, req *http.Request) (*http.Response, error) {
		method, path = req.Method, req.URL.Path
		if req.Method == http.MethodPost {
			return reply(202, `{"success":true}`)
		}
		return reply(200, shannonBody("RUNNING", ""))
	})
	b.poll("a", "task_1")
	if err := b.Cancel(context.Background(), b.request("a", "task_1")); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	if method != http.MethodPost || path != "/api/v1/tasks/task_1/cancel" {
		t.Errorf("upstream saw %s %s", method, path)
	}
	b.want(b.poll("a", "task_1"), "200 in_progress; pollux; fwd=stale; stored")
	v := newBench(t, "vessl", always(200, vesslRunning))
	if err := v.Cancel(context.Background(), v.request("a", "job1")); !errors.Is(err, ErrCannotCancel) {
		t.Errorf("cancel at vessl: %v, want ErrCannotCancel", err)
	}
}

// TestPartitionBreakerFollowsReloads: a breaker of one credential that is open
// under the old config is none under the new one.
func TestPartitionBreakerFollowsReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(500, `{"message":"boom"}`))
		for range 5 {
			b.poll("a", "job1")
			b.later()
		}
		b.want(b.poll("a", "job2"), "503 upstream-unavailable; pollux; detail=breaker-open")
		b.reload(func(c *upstream.Config) { c.Breaker.Failures = 50 })
		b.want(b.poll("a", "job3"), "502 upstream-error; pollux; fwd=uri-miss; fwd-status=500")
	})
}

// TestRefusedStrangers: keys that the upstream never took, however many, leave
// a hundred lines in the log and nothing in the store; one that it took and
// takes no more is always told and kept.
func TestRefusedStrangers(t *testing.T) {
	var code atomic.Int64
	b := newBench(t, "vessl", func(int64, *http.Request) (*http.Response, error) {
		return reply(int(code.Load()), vesslRunning)
	})
	var lines countLines
	b.log = slog.New(slog.NewTextHandler(&lines, nil))
	code.Store(401)
	for i := range 300 {
		b.poll(fmt.Sprint("made up ", i), "job1")
	}
	if n := lines.Load(); n != 100 {
		t.Errorf("%d lines for 300 refused keys, want 100", n)
	}
	if n := len(b.store.partitions); n != 0 {
		t.Errorf("%d of the keys are in the store", n)
	}
	code.Store(200)
	b.poll("known", "job2")
	code.Store(401)
	b.poll("known", "job3")
	if n := lines.Load(); n != 101 {
		t.Errorf("%d lines once a key was taken back, want one more", n)
	}
	if st, err := b.store.Partition(context.Background(), &b.request("known", "job2").Partition.ID); err != nil || !st.Suspended {
		t.Errorf("the store has %+v (%v) of a key that was taken back", st, err)
	}
}

// countLines counts lines that are written to it.
type countLines struct{ atomic.Int64 }

func (c *countLines) Write(p []byte) (int, error) {
	c.Add(1)
	return len(p), nil
}

// TestCancelDeletesNothing: where the same request cancels a running task and
// deletes one that has ended, it is sent to what may be running only.
func TestCancelDeletesNothing(t *testing.T) {
	state, deleted := "dreaming", 0
	b := newBench(t, "luma", func(n int64, req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodDelete {
			deleted++
			return reply(204, "")
		}
		return reply(200, `{"id":"g1","state":"`+state+`"}`)
	})
	cancel := func() error { return b.Cancel(context.Background(), b.request("a", "g1")) }
	for _, known := range []string{"not at all", "as running"} {
		if err := cancel(); err != nil {
			t.Errorf("known %s: %v", known, err)
		}
		b.poll("a", "g1")
	}
	state = "completed"
	if err := cancel(); err != nil { // nobody has seen its end
		t.Error(err)
	}
	b.poll("a", "g1")
	var p *problem.Problem
	if err := cancel(); !errors.As(err, &p) || p.Status != http.StatusConflict || deleted != 3 {
		t.Errorf("ended: %v after %d requests, want a 409 after 3", err, deleted)
	}
}
