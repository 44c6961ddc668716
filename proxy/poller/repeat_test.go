package poller

import (
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
)

const runwayRunning = `{"id":"17f20503-6c24-4c16-946b-35dbbce2af2f","createdAt":"2026-11-20T10:00:00Z","status":"RUNNING","progress":0.42}`

// An answer that repeats the last one is not judged, and comes to what judging it
// would have come to.
func TestRepetition(t *testing.T) {
	const runwayTask = "17f20503-6c24-4c16-946b-35dbbce2af2f"
	adaptive := func(c *upstream.Config) { c.Schedule = "adaptive" }
	for name, c := range map[string]struct {
		provider, ref, body string
		header, then        []string // of the first answer, and of all others
		tweak               func(*upstream.Config)
		judged              bool // each time
	}{
		"plain":           {provider: "vessl", ref: "job1", body: vesslRunning},
		"with progress":   {provider: "runway", ref: runwayTask, body: runwayRunning, tweak: adaptive},
		"with a time":     {provider: "litellm-responses", ref: "r1", body: `{"id":"r1","status":"in_progress","created_at":1764200000}`},
		"Retry-After":     {provider: "vessl", ref: "job1", body: vesslRunning, header: []string{"Retry-After", "3"}, then: []string{"Retry-After", "4"}},
		"no Retry-After":  {provider: "vessl", ref: "job1", body: vesslRunning, header: []string{"Retry-After", "3"}},
		"a hint":          {provider: "openai-videos", ref: "v1", body: `{"id":"v1","object":"video","status":"in_progress","progress":7}`, then: []string{"openai-poll-after-ms", "4000"}},
		"a link":          {provider: "vessl", ref: "job1", body: vesslRunning, header: []string{"Location", "/jobs/1"}, then: []string{"Location", "/jobs/01"}},
		"an unknown word": {provider: "vessl", ref: "job1", body: `{"status":"pondering"}`, judged: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				third := func(judge bool) (e *cache.Entry, repeated bool) {
					tweak := []func(*upstream.Config){func(*upstream.Config) {}}
					if c.tweak != nil {
						tweak[0] = c.tweak
					}
					b := newBench(t, c.provider, func(n int64, _ *http.Request) (*http.Response, error) {
						if n == 1 {
							return reply(200, c.body, c.header...)
						}
						return reply(200, c.body, c.then...)
					}, tweak...)
					r := b.request("a", c.ref)
					r.NoCache = true
					e = b.entry(b.poll("a", c.ref))
					first := &e.Native[0]
					for range 2 {
						if judge {
							again := *e
							again.Judged = false
							b.memory.Put(&again, time.Hour)
						}
						time.Sleep(5 * time.Second)
						e = b.entry(b.Poll(t.Context(), r))
					}
					b.wantPolls(3)
					return e, &e.Native[0] == first // else it is of another answer
				}
				judged, again := third(true)
				repeated, kept := third(false)
				if again || kept == c.judged {
					t.Errorf("taken for a repetition: %v, and %v although it was to be judged", kept, again)
				}
				for _, e := range []*cache.Entry{judged, repeated} {
					if clearTimes(e); c.tweak != nil {
						e.FreshUntil = time.Time{} // an adaptive schedule varies it
					}
				}
				if judged.Polls != 3 || !reflect.DeepEqual(judged, repeated) {
					t.Errorf("judged:\n%+v\nrepeated:\n%+v", judged, repeated)
				}
			})
		})
	}
}

// clearTimes makes entries of two runs, one after the other, comparable: times are
// told by how long after the first answer they are.
func clearTimes(e *cache.Entry) {
	first := e.FirstSeen
	for _, at := range []*time.Time{&e.FirstSeen, &e.UpdatedAt, &e.ObservedAt, &e.FreshUntil, &e.PersistedAt, &e.LookedAt} {
		*at = time.Unix(0, 0).Add(at.Sub(first).Truncate(time.Second))
	}
	for i := range e.History {
		e.History[i].At = time.Time{}
	}
	document := string(e.Document)
	if _, rest, ok := strings.Cut(document, `"updated_at":"`); ok {
		document = strings.Replace(document, rest[:20], "", 1)
	}
	e.Document, e.ETag, e.NativeETag, e.Version, e.Judged = []byte(document), "", "", 0, false
}

// What differs from the last answer in anything is judged.
func TestNoRepetition(t *testing.T) {
	for name, c := range map[string]struct {
		second string
		code   int
		header []string // of the second
		want   string
	}{
		"another byte":     {vesslRunning + " ", 200, nil, "200 in_progress; pollux; fwd=stale; stored"},
		"another code":     {vesslRunning, 503, nil, "200 in_progress; pollux; fwd=stale; fwd-status=503; detail=stale-if-error"},
		"another type":     {vesslRunning, 200, []string{"Content-Type", "text/html"}, "200 in_progress; pollux; fwd=stale; fwd-status=200; detail=stale-if-error"},
		"another status":   {vesslPending, 200, nil, "200 queued; pollux; fwd=stale; stored"},
		"only a beginning": {vesslRunning[:20], 200, nil, "200 in_progress; pollux; fwd=stale; fwd-status=200; detail=stale-if-error"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "vessl", func(n int64, _ *http.Request) (*http.Response, error) {
					if n == 1 {
						return reply(200, vesslRunning)
					}
					return reply(c.code, c.second, c.header...)
				})
				first := b.entry(b.poll("a", "job1"))
				time.Sleep(3 * time.Second)
				a := b.poll("a", "job1")
				if b.want(a, c.want); !first.Judged {
					t.Error("the first answer could not be repeated")
				}
				if native := string(b.entry(a).Native); a.Cache.Stored && native != c.second {
					t.Errorf("native body %s, want %s", native, c.second)
				}
				b.wantPolls(2)
			})
		})
	}
}

// The answer to a second request may differ where the first repeats.
func TestNoRepetitionOfAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var results atomic.Int64
		file := strings.Replace(resultFile, `when: status == "completed"`, `when: 'kind("url") == "string"'`, 1)
		b := newBenchOf(t, file, upstreamOf(saying(200, `{"status":"BUSY","url":"u"}`), func() (*http.Response, error) {
			if results.Load() < 2 {
				return reply(503, `{}`)
			}
			return reply(422, `{"type":"bad_prompt","detail":"no"}`)
		}, &results))
		b.poll("a", "job1")
		time.Sleep(5 * time.Second)
		if e := b.entry(b.poll("a", "job1")); e.Status != "failed" || results.Load() != 2 {
			t.Errorf("the task is %s after %d requests for its result, want failed after two", e.Status, results.Load())
		}
	})
}

// What another file makes of the same answer counts.
func TestNoRepetitionUnderAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", always(200, vesslRunning))
		e := *b.entry(b.poll("a", "job1"))
		e.Revision, e.Status = "another", "queued"
		b.memory.Put(&e, time.Hour)
		time.Sleep(3 * time.Second)
		if now := b.entry(b.poll("a", "job1")); now.Status != "in_progress" {
			t.Errorf("status %s, as another file had it", now.Status)
		}
	})
}

// A listing that is believed for the status alone leaves the body of the last poll
// beside another status: the next poll with that body has the last word.
func TestNoRepetitionOfAnotherStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		f.short = true
		all := ids(10)
		f.set("WAIT", all...)
		b := newBenchOf(t, strings.Replace(sweptFile, "sweep: {", "sweep: {partial: true, ", 1), f.answer, func(c *upstream.Config) { c.Sweep, c.SweepAtLeast = time.Second, 5 })
		for _, id := range all {
			release, _ := b.Watch(b.request("a", id))
			defer release()
		}
		time.Sleep(2500 * time.Millisecond)
		f.set("BUSY", all...)
		time.Sleep(1500 * time.Millisecond)
		if e := b.entry(b.poll("a", "job000")); e.Status != "in_progress" {
			t.Fatalf("status %s, want what the listing says", e.Status)
		}
		f.set("WAIT", all...)
		r := b.request("a", "job000")
		r.NoCache = true
		time.Sleep(600 * time.Millisecond)
		if e := b.entry(b.Poll(t.Context(), r)); e.Status != "queued" {
			t.Errorf("status %s, want queued, as the poll said", e.Status)
		}
	})
}
