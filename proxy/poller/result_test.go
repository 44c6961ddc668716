package poller

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// newBenchOf is a bench of an upstream whose provider file is given.
func newBenchOf(t testing.TB, file string, answer func(int64, *http.Request) (*http.Response, error), tweak ...func(*upstream.Config)) *bench {
	t.Helper()
	own, err := providers.Load(fstest.MapFS{"own.yaml": {Data: []byte(file)}})
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, err := builtin.Merge(own)
	if err != nil {
		t.Fatal(err)
	}
	return newBenchOfSet(t, set, newMemStore(), "own", answer, tweak...)
}

const ownFile = `
name: own
base_url: http://upstream.test
identity: {headers: [Authorization]}
params: {id: {in: path}}
poll: {request: 'GET /jobs/{id}', min: 500ms, first: 1s, growth: 2, max: 5s, hints: [{header: X-Wait-Ms, unit: ms}, {path: wait, unit: s}]}
status: {path: status, words: {BUSY: in_progress, DONE: completed}}
fields: {output.text: text, metadata.url: url}
`

const resultFile = ownFile + `
result: {request: 'GET /jobs/{id}/result', when: status == "completed", into: output.data, failed: [422]}
errors: {bodies: [{code: type, message: detail}]}
`

// upstreamOf answers status requests with first and those of results with
// result.
func upstreamOf(first, result func() (*http.Response, error), results *atomic.Int64) func(int64, *http.Request) (*http.Response, error) {
	return func(_ int64, req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/result") {
			results.Add(1)
			return result()
		}
		return first()
	}
}

func saying(code int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return reply(code, body, header...) }
}

func TestResult(t *testing.T) {
	done := saying(200, `{"status":"DONE"}`)
	t.Run("comes before the end is told", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var results atomic.Int64
			b := newBenchOf(t, resultFile, upstreamOf(done, saying(200, `{"answer":42}`), &results))
			d := &diary{}
			b.Observe(d)
			e := b.entry(b.poll("a", "job1"))
			if got := gjson.GetBytes(e.Document, "output.data.answer").Int(); got != 42 || !e.Frozen {
				t.Errorf("document %s, frozen %v", e.Document, e.Frozen)
			}
			if string(e.Native) != `{"status":"DONE"}` {
				t.Errorf("native is %s, want the first answer", e.Native)
			}
			b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
			d.want(t, "job1 completed for good")
			if results.Load() != 1 {
				t.Errorf("%d requests for the result, want one", results.Load())
			}
		})
	})
	t.Run("failed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var results atomic.Int64
			b := newBenchOf(t, resultFile, upstreamOf(done, saying(422, `{"type":"bad_prompt","detail":"no"}`), &results))
			e := b.entry(b.poll("a", "job1"))
			if e.Status != "failed" || e.ErrorCode != "bad_prompt" || !e.Frozen {
				t.Errorf("the task is %s (%s), frozen %v", e.Status, e.ErrorCode, e.Frozen)
			}
		})
	})
	t.Run("comes late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var results atomic.Int64
			b := newBenchOf(t, resultFile, upstreamOf(done, func() (*http.Response, error) {
				if results.Load() < 3 {
					return reply(503, `{}`)
				}
				return reply(200, `{"answer":42}`)
			}, &results))
			e := b.entry(b.poll("a", "job1"))
			if !e.Terminal || !e.Settling {
				t.Errorf("terminal %v, settling %v, want both", e.Terminal, e.Settling)
			}
			time.Sleep(11 * time.Second)
			e = b.entry(b.poll("a", "job1"))
			if got := gjson.GetBytes(e.Document, "output.data.answer").Int(); got != 42 || !e.Frozen || results.Load() != 3 {
				t.Errorf("after %d requests: %s, frozen %v", results.Load(), e.Document, e.Frozen)
			}
		})
	})
	t.Run("never comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var results atomic.Int64
			b := newBenchOf(t, resultFile, upstreamOf(done, saying(503, `{}`), &results))
			b.poll("a", "job1")
			time.Sleep(2 * time.Minute)
			b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
			if results.Load() != 4 {
				t.Errorf("%d requests for the result, want 4: at once, and after 2, 10 and 60 s", results.Load())
			}
		})
	})
	for retryAfter, want := range map[string]time.Duration{"2": 2 * time.Second, "7": 7 * time.Second, "": defaultPause} {
		t.Run("meets a rate limit for "+retryAfter, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var results atomic.Int64
				b := newBenchOf(t, resultFile, upstreamOf(done, saying(429, `{}`, "Retry-After", retryAfter), &results))
				b.poll("a", "job1")
				if a := b.poll("a", "job2"); a.Problem == nil || a.Problem.RetryAfter != want {
					t.Errorf("Retry-After %q: got %+v, want a pause of %v", retryAfter, a.Problem, want)
				}
			})
		})
	}
	t.Run("costs a second poll of the budget", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var results atomic.Int64
			b := newBenchOf(t, resultFile, upstreamOf(done, saying(200, `{}`), &results), func(c *upstream.Config) {
				c.Rate = &upstream.RateConfig{Requests: 4, Per: time.Hour}
			})
			b.poll("a", "job1")
			b.poll("a", "job2")
			b.want(b.poll("a", "job3"), "429 rate-limited; pollux; detail=rate-limited")
		})
	})
}

// TestResultElsewhere: a private address is never asked, whatever the file says.
func TestResultElsewhere(t *testing.T) {
	var asked atomic.Int64
	b := newBenchOf(t, strings.Replace(resultFile, "request: 'GET /jobs/{id}/result'", "link: url, hosts: [127.0.0.1]", 1),
		func(int64, *http.Request) (*http.Response, error) {
			return reply(200, `{"status":"DONE","url":"http://127.0.0.1:1/secret"}`)
		})
	e := b.entry(b.poll("a", "job1"))
	if !e.Settling || asked.Load() != 0 {
		t.Errorf("the document is %s, settling %v", e.Document, e.Settling)
	}
}

func TestExpires(t *testing.T) {
	file := ownFile + "\nexpires: {after: 1h}\n"
	synctest.Test(t, func(t *testing.T) {
		answer := saying(200, `{"status":"DONE","text":"hello","url":"https://x/1"}`)
		b := newBenchOf(t, file, func(int64, *http.Request) (*http.Response, error) { return answer() })
		d := &diary{}
		b.Observe(d)
		first := b.entry(b.poll("a", "job1"))
		want := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		if got := gjson.GetBytes(first.Document, "metadata.expires_at").String(); got != want {
			t.Errorf("expires_at is %s, want %s", got, want)
		}
		time.Sleep(59 * time.Minute)
		b.poll("a", "job1") // reauthorized
		polls := b.polls.Load()
		if maxAge, immutable := b.up().MaxAge(b.request("a", "job1").Partition, first, time.Now()); immutable || maxAge > time.Hour {
			t.Errorf("max-age %v, immutable %v", maxAge, immutable)
		}
		for name, later := range map[string]func() (*http.Response, error){
			"runs again": saying(200, `{"status":"BUSY"}`), "lacks the text": saying(200, `{"status":"DONE","url":"https://x/2"}`),
			"lost": saying(404, `{"detail":"gone"}`), "refused": saying(409, `{"detail":"no"}`), "fails": saying(500, `{}`),
		} {
			time.Sleep(2 * time.Minute)
			answer = later
			if a := b.poll("a", "job1"); a.Entry == nil || a.Entry.ETag != first.ETag {
				t.Errorf("%s: %s, want the last answer", name, said(a))
			}
			if polls++; b.polls.Load() != polls {
				t.Errorf("%s: %d polls, want %d", name, b.polls.Load(), polls)
			}
			time.Sleep(30 * time.Second) // less than freshness.reopenable
			if b.poll("a", "job1"); b.polls.Load() != polls {
				t.Errorf("%s: asked again within freshness.reopenable", name)
			}
		}
		time.Sleep(2 * time.Minute)
		answer = saying(200, `{"status":"DONE","text":"hello","url":"https://x/3"}`)
		if e := b.entry(b.poll("a", "job1")); e.ETag == first.ETag || gjson.GetBytes(e.Document, "metadata.url").String() != "https://x/3" {
			t.Errorf("new URLs: %s", e.Document)
		}
	})
}

func TestHintsAndVendorSchedule(t *testing.T) {
	for _, c := range []struct {
		name     string
		body     string
		header   []string
		schedule string
		want     []time.Duration // between polls
	}{
		{"no hint", `{"status":"BUSY"}`, nil, "fixed", []time.Duration{2 * time.Second, 2 * time.Second}},
		{"a header in milliseconds", `{"status":"BUSY"}`, []string{"X-Wait-Ms", "4000"}, "fixed", []time.Duration{4 * time.Second}},
		{"the largest counts", `{"status":"BUSY","wait":7}`, []string{"X-Wait-Ms", "4000", "Retry-After", "6"}, "fixed", []time.Duration{7 * time.Second}},
		{"a lower bound", `{"status":"BUSY","wait":1}`, nil, "fixed", []time.Duration{2 * time.Second}},
		{"unreadable", `{"status":"BUSY","wait":"soon"}`, []string{"X-Wait-Ms", "-1"}, "fixed", []time.Duration{2 * time.Second}},
		{"clamped", `{"status":"BUSY","wait":99999999}`, nil, "fixed", []time.Duration{15 * time.Minute}},
		{"vendor", `{"status":"BUSY"}`, nil, "vendor", []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}},
		{"vendor with a hint", `{"status":"BUSY","wait":3}`, nil, "vendor", []time.Duration{3 * time.Second, 3 * time.Second, 4 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBenchOf(t, ownFile, always(200, c.body, c.header...), func(u *upstream.Config) { u.Schedule = c.schedule })
				b.poll("a", "job1")
				var got []time.Duration
				last := time.Now()
				for n := int64(2); len(got) < len(c.want); {
					time.Sleep(100 * time.Millisecond)
					if b.poll("a", "job1"); b.polls.Load() == n {
						got, last = append(got, time.Since(last)), time.Now()
						n++
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("polled after %v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestFreshnessShortenedByAReload reaches what is stored and what is watched; what
// the upstream asked for holds.
func TestFreshnessShortenedByAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOver(t, newMemStore(), "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			if strings.Contains(req.URL.Path, "later") {
				return reply(200, vesslRunning, "Retry-After", "600")
			}
			return reply(200, vesslRunning)
		}, func(c *upstream.Config) { c.Freshness.InProgress = time.Hour })
		b.poll("a", "polled")
		b.poll("a", "later")
		release, _ := b.Watch(b.request("a", "watched"))
		defer release()
		time.Sleep(time.Minute)
		b.wantPolls(3)
		b.reload(func(c *upstream.Config) { c.Freshness.InProgress = 10 * time.Second })
		b.poll("a", "polled")
		b.poll("a", "later")
		b.wantPolls(4)
		time.Sleep(time.Minute)
		if n := b.polls.Load(); n < 4+5 || n > 4+8 {
			t.Errorf("the watched task was polled %d times in a minute, want every ten seconds", n-4)
		}
	})
}

// TestAdaptiveBeginsWithTheVendorsAdvice, and follows what it learned from then on.
func TestAdaptiveBeginsWithTheVendorsAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := map[string]time.Time{}
		file := strings.Replace(ownFile, "first: 1s, growth: 2, max: 5s", "steps: [3s, 7s], max: 11s, max_queued: 20s", 1)
		file = strings.Replace(file, "BUSY: in_progress", "WAIT: queued, BUSY: in_progress", 1)
		file = strings.Replace(file, "fields: {", "fields: {created_at: {path: at, time: unix}, ", 1)
		b := newBenchOf(t, file, func(_ int64, req *http.Request) (*http.Response, error) {
			id := path.Base(req.URL.Path)
			if began[id].IsZero() {
				began[id] = time.Now()
			}
			switch {
			case id == "queued":
				return reply(200, `{"status":"WAIT"}`)
			case time.Since(began[id]) < 30*time.Second:
				return reply(200, fmt.Sprintf(`{"status":"BUSY","at":%d}`, began[id].Unix()))
			}
			return reply(200, fmt.Sprintf(`{"status":"DONE","at":%d}`, began[id].Unix()))
		}, func(u *upstream.Config) { u.Schedule = "adaptive" })
		pauses := func(id string, n int) (got []time.Duration) {
			e := b.entry(b.poll("a", id))
			for range n {
				got = append(got, e.FreshUntil.Sub(e.ObservedAt))
				time.Sleep(time.Until(e.FreshUntil) + time.Millisecond)
				e = b.entry(b.poll("a", id))
			}
			return got
		}
		if got, want := fmt.Sprint(pauses("queued", 3)), "[3s 7s 20s]"; got != want {
			t.Errorf("while queued the pauses are %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(pauses("job1", 3)), "[3s 7s 11s]"; got != want {
			t.Errorf("before anything has ended the pauses are %s, want %s", got, want)
		}
		pauses("job1", 2)
		if got := fmt.Sprint(pauses("job2", 3)); got == "[3s 7s 11s]" {
			t.Error("what was learned is not followed")
		}
	})
}
