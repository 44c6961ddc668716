package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollux/normalize"
	"pollux/proxy/poller/upstream"
)

// movingFace is a face whose task runs until finish is called. Pollux watches
// it by itself, at vessl's shortest interval.
func movingFace(t testing.TB) (f *face, finish func()) {
	f = newFace(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.poller.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, u := range f.poller.Upstreams() {
		u.Config.Freshness.InProgress = 100 * time.Millisecond // the provider's minimum rules
	}
	var done atomic.Bool
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if done.Load() {
			_, _ = io.WriteString(w, `{"status":"completed","status_code":200,"raw_output":"x","output":{"ok":true}}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"in_progress"}`)
	})
	return f, func() { done.Store(true) }
}

const (
	vesslTask = "/v1/tasks/vessl/job1"
	vesslKey  = "Authorization: Bearer k"
)

func TestWaitAnswersAtTheEnd(t *testing.T) {
	f, finish := movingFace(t)
	time.AfterFunc(time.Second, finish)
	start := time.Now()
	a := f.do("GET", vesslTask, "", vesslKey, "Prefer: wait=30")
	a.expect(t, 200, map[string]string{"Preference-Applied": "wait=30", "Cache-Status": "pollux; hit; detail=not-stored"})
	if took := time.Since(start); took < 500*time.Millisecond || took > 5*time.Second || !strings.Contains(a.body, `"completed"`) {
		t.Errorf("after %v: %s", took, a.body)
	}
}

func TestWaitForAChange(t *testing.T) {
	f, _ := movingFace(t)
	now := f.do("GET", vesslTask, "", vesslKey)
	etag := now.Header.Get("ETag")
	start := time.Now()
	a := f.do("GET", vesslTask+"?wait=1", "", vesslKey, "If-None-Match: "+etag)
	a.expect(t, 304, map[string]string{"Preference-Applied": "wait=1", "ETag": etag})
	if took := time.Since(start); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("a wait of 1 s for a change took %v", took)
	}
	if a := f.do("GET", vesslTask+"?wait=20", "", vesslKey, `If-None-Match: W/"other"`); a.StatusCode != 200 {
		t.Errorf("a document that differs already: %d", a.StatusCode)
	}
}

func TestWaitAtItsDeadline(t *testing.T) {
	f, _ := movingFace(t)
	a := f.do("GET", vesslTask, "", vesslKey, "Prefer: respond-async, wait=1")
	if a.StatusCode != 200 || !strings.Contains(a.body, string(normalize.InProgress)) || a.Header.Get("Retry-After") == "" {
		t.Errorf("at the deadline: %d %s", a.StatusCode, a.body)
	}
}

func TestWaitEndsWithAProblem(t *testing.T) {
	f, _ := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	time.AfterFunc(300*time.Millisecond, func() {
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"message":"Unauthorized"}`)
		})
	})
	f.do("GET", vesslTask+"?wait=30", "", vesslKey).problem(t, 401, "unauthorized")
}

func TestWaitRidesOutFailingPolls(t *testing.T) {
	t.Parallel()
	f, finish := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	good := *f.upstream.Load()
	f.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	time.AfterFunc(1200*time.Millisecond, func() { finish(); f.answer(good) })
	a := f.do("GET", vesslTask+"?wait=30", "", vesslKey)
	if a.StatusCode != 200 || !strings.Contains(a.body, `"completed"`) {
		t.Errorf("after an outage: %d %s", a.StatusCode, a.body)
	}
}

// TestWaitAtItsDeadlineInAnOutage: an old answer says why it is old, and when
// asking again can tell more, also to who has waited.
func TestWaitAtItsDeadlineInAnOutage(t *testing.T) {
	t.Parallel()
	f, _ := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(503)
	})
	time.Sleep(600 * time.Millisecond)
	f.do("GET", vesslTask, "", vesslKey)
	for what, headers := range map[string][]string{
		"a poll":         {vesslKey},
		"a wait":         {vesslKey, "Prefer: wait=1"},
		"only-if-cached": {vesslKey, "Cache-Control: only-if-cached"},
	} {
		a := f.do("GET", vesslTask, "", headers...)
		if after, _ := strconv.Atoi(a.Header.Get("Retry-After")); after < 30 || a.StatusCode != 200 || !strings.HasSuffix(a.Header.Get("Cache-Status"), "; detail=held") {
			t.Errorf("%s: %d, Retry-After %d, Cache-Status %s", what, a.StatusCode, after, a.Header.Get("Cache-Status"))
		}
	}
	if got := *f.batch(`{"tasks":["vessl/job1"],"wait":1}`, vesslKey)[0].CacheStatus; !strings.HasSuffix(got, "; detail=held") {
		t.Errorf("a batch that waits: %s", got)
	}
}

// TestWaitForWhatIsTooOld: an answer too old to be served when a poll fails is
// not served at the deadline of a wait either.
func TestWaitForWhatIsTooOld(t *testing.T) {
	t.Parallel()
	f, _ := movingFace(t)
	f.poller.Upstream([]byte("vessl")).Config.StaleIfError = 0
	f.do("GET", vesslTask, "", vesslKey)
	f.answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	for range 3 { // polls fail before, during and after
		f.do("GET", vesslTask, "", vesslKey, "Prefer: wait=1").problem(t, 502, "upstream-error")
		if got := f.batch(`{"tasks":["vessl/job1"],"wait":1}`, vesslKey)[0]; got.StatusCode != 502 {
			t.Errorf("a batch: %d", got.StatusCode)
		}
	}
}

// TestWaitWithoutABudget: who has used up the rate is told so after a wait too.
func TestWaitWithoutABudget(t *testing.T) {
	t.Parallel()
	f, _ := movingFace(t)
	f.poller.Upstream([]byte("vessl")).Config.Rate = &upstream.RateConfig{Requests: 1, Per: time.Minute}
	f.do("GET", vesslTask, "", vesslKey)
	a := f.do("GET", vesslTask, "", vesslKey, "Prefer: wait=1")
	if after, _ := strconv.Atoi(a.Header.Get("Retry-After")); after < 30 || a.StatusCode != 200 || !strings.HasSuffix(a.Header.Get("Cache-Status"), "; detail=rate-limited") {
		t.Errorf("%d, Retry-After %d, Cache-Status %s", a.StatusCode, after, a.Header.Get("Cache-Status"))
	}
}

// TestWaitOfARefusedCredential: what was found when a wait began is not shown at
// its end to a credential that was refused meanwhile.
func TestWaitOfARefusedCredential(t *testing.T) {
	t.Parallel()
	f, finish := movingFace(t)
	finish()
	f.do("GET", "/v1/tasks/vessl/ended", "", vesslKey)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if f.polls.Load() < 4 {
			_, _ = io.WriteString(w, `{"status":"in_progress"}`)
			return
		}
		w.WriteHeader(401)
		_, _ = io.WriteString(w, `{"message":"Unauthorized"}`)
	})
	for _, r := range f.batch(`{"tasks":["vessl/ended","vessl/job1"],"wait":20}`, vesslKey) {
		if r.StatusCode != 401 {
			t.Errorf("%s: %d", r.Task, r.StatusCode)
		}
	}
}

// TestFollowingBegunInAHiccup: one answer that denies a task is no news, also
// for those who begin to follow it just then.
func TestFollowingBegunInAHiccup(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"wait", "stream", "batch", "agent"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			f, finish := movingFace(t)
			f.do("GET", vesslTask, "", vesslKey)
			good := *f.upstream.Load()
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(404)
				_, _ = io.WriteString(w, `{"message":"request not found"}`)
			})
			eventually(t, "the task is denied", func() bool { return f.do("GET", vesslTask, "", vesslKey).StatusCode == 410 })
			time.AfterFunc(100*time.Millisecond, func() { must(t, f.reload(DefaultConfig())) })
			time.AfterFunc(300*time.Millisecond, func() { finish(); f.answer(good) })
			ref := strings.TrimPrefix(vesslTask, "/v1/tasks/")
			var a *answer
			switch way {
			case "wait":
				a = f.do("GET", vesslTask+"?wait=30", "", vesslKey)
			case "stream":
				a = f.do("GET", vesslTask, "", vesslKey, "Accept: text/event-stream")
			case "batch":
				a = f.do("POST", "/v1/tasks/batch", `{"tasks":["`+ref+`"],"wait":30}`, vesslKey, "Content-Type: application/json")
			case "agent":
				a = f.do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait_for_tasks","arguments":{"tasks":["`+ref+`"],"timeout_seconds":30}}}`,
					vesslKey, "Content-Type: application/json", "Accept: application/json, text/event-stream", "MCP-Protocol-Version: 2025-06-18")
			}
			if a.StatusCode != 200 || !strings.Contains(a.body, `"completed"`) || strings.Contains(a.body, "task-gone") {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
}

func TestPipelinedWaitDelaysNoAnswer(t *testing.T) {
	f, _ := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	c, err := net.Dial("tcp", f.address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	start := time.Now()
	_, err = fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET %s?wait=20 HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", vesslTask, vesslKey)
	must(t, err)
	if status, _ := readAnswer(t, bufio.NewReader(c), "GET"); status != 200 || time.Since(start) > 4*time.Second {
		t.Errorf("the first of two pipelined answers came as %d after %v", status, time.Since(start))
	}
}

// events reads a stream to its end: the fields of each event by name.
func events(t testing.TB, r io.Reader) (all []map[string]string) {
	t.Helper()
	event := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); {
		case lines.Text() == "":
			if len(event) > 0 {
				all = append(all, event)
				event = map[string]string{}
			}
		case name != "":
			event[name] += value
		}
	}
	must(t, lines.Err())
	return all
}

func TestStreamFollowsATaskToItsEnd(t *testing.T) {
	f, finish := movingFace(t)
	time.AfterFunc(time.Second, finish)
	a := f.do("GET", vesslTask, "", vesslKey, "Accept: text/event-stream")
	a.expect(t, 200, map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
	got := events(t, strings.NewReader(a.body))
	if len(got) != 2 || !strings.Contains(got[0]["data"], "in_progress") || !strings.Contains(got[1]["data"], "completed") {
		t.Fatalf("events %v", got)
	}
	now := f.do("GET", vesslTask, "", vesslKey)
	if want := `W/"` + got[1]["id"] + `"`; now.Header.Get("ETag") != want || now.body != got[1]["data"] {
		t.Errorf("the last event is %v, the document %s with ETag %s", got[1], now.body, now.Header.Get("ETag"))
	}
	again := f.do("GET", vesslTask, "", vesslKey, "Accept: text/event-stream", "Last-Event-ID: "+got[1]["id"])
	if again.StatusCode != 204 {
		t.Errorf("reconnecting after the end: %d, want 204", again.StatusCode)
	}
	native := f.do("GET", vesslTask+"?include=native", "", vesslKey, "Accept: text/event-stream")
	if got := events(t, strings.NewReader(native.body)); len(got) != 1 || !strings.Contains(got[0]["data"], `"native":{"status":"completed"`) {
		t.Errorf("with the native body: %v", got)
	}
}

// A stream with only-if-cached asks for nothing, and tells what others find.
func TestStreamOnlyIfCached(t *testing.T) {
	f, finish := movingFace(t)
	headers := []string{vesslKey, "Accept: text/event-stream", "Cache-Control: only-if-cached"}
	f.do("GET", vesslTask, "", vesslKey)
	told := make(chan *answer, 1)
	go func() { told <- f.do("GET", vesslTask, "", headers...) }()
	eventually(t, "the stream is open", func() bool { return f.server.streams.Inside() == 1 && f.server.hub.Topics() == 1 })
	if n := f.poller.Watched(); n != 0 {
		t.Errorf("%d tasks are watched, want none", n)
	}
	finish()
	eventually(t, "somebody else finds the end", func() bool {
		return strings.Contains(f.do("GET", vesslTask, "", vesslKey).body, `"terminal":true`)
	})
	got := events(t, strings.NewReader((<-told).body))
	if len(got) != 2 || !strings.Contains(got[0]["data"], "in_progress") || !strings.Contains(got[1]["data"], "completed") {
		t.Errorf("events %v", got)
	}
}

func TestStreamEndsWithAProblem(t *testing.T) {
	t.Parallel()
	f, _ := movingFace(t)
	time.AfterFunc(300*time.Millisecond, func() {
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"message":"request not found"}`)
		})
	})
	got := events(t, strings.NewReader(f.do("GET", vesslTask, "", vesslKey, "Accept: text/event-stream").body))
	last := got[len(got)-1]
	if last["event"] != "problem" || !strings.Contains(last["data"], "task-gone") {
		t.Errorf("the last event is %v, want a problem", last)
	}
}

func TestFollowersLeaveNothingBehind(t *testing.T) {
	f, _ := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	const followers = 300
	var open []net.Conn
	for i := range followers {
		c, err := net.Dial("tcp", f.address)
		must(t, err)
		accept, query := "*/*", "?wait=60"
		if i%2 == 0 {
			accept, query = "text/event-stream", ""
		}
		_, err = fmt.Fprintf(c, "GET %s%s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n%s\r\n\r\n", vesslTask, query, accept, vesslKey)
		must(t, err)
		open = append(open, c)
	}
	eventually(t, "all are inside", func() bool { return f.server.waits.Inside()+f.server.streams.Inside() == followers })
	for _, c := range open {
		must(t, c.(*net.TCPConn).SetLinger(0)) // a reset, as of a client that died
		c.Close()
	}
	eventually(t, "all have left", func() bool {
		return f.server.waits.Inside()+f.server.streams.Inside() == 0 && f.server.hub.Topics() == 0 && f.poller.Watched() == 0
	})
	eventually(t, "their goroutines ended", func() bool { // fasthttp keeps its own workers for a while
		stacks := make([]byte, 4<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "proxy.(*Server).await") && !strings.Contains(text, "proxy.(*Server).follow(")
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("%s: not within 8 s", what)
}

func TestShutdownEndsWaitsAndStreams(t *testing.T) {
	f, _ := movingFace(t)
	f.do("GET", vesslTask, "", vesslKey)
	answers := make(chan *answer, 20)
	for i := range 20 {
		go func() {
			if i%2 == 0 {
				answers <- f.do("GET", vesslTask+"?wait=50", "", vesslKey)
				return
			}
			answers <- f.do("GET", vesslTask, "", vesslKey, "Accept: text/event-stream")
		}()
	}
	eventually(t, "all are inside", func() bool { return f.server.waits.Inside()+f.server.streams.Inside() == 20 })
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, f.server.Shutdown(ctx))
	for range 20 {
		if a := <-answers; a.StatusCode != 200 {
			t.Errorf("a follower was answered %d", a.StatusCode)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("shutting down took %v", took)
	}
}

func TestLimitsOfFollowers(t *testing.T) {
	t.Parallel()
	f := newFace(t, func(c *Config) { c.Limits.WaitsPerPartition, c.Limits.StreamsPerPartition = 1, 1 })
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"in_progress"}`)
	})
	done := make(chan *answer, 1)
	go func() { done <- f.do("GET", vesslTask+"?wait=2", "", vesslKey) }()
	eventually(t, "one waits", func() bool { return f.server.waits.Inside() == 1 })
	p := f.do("GET", vesslTask+"?wait=2", "", vesslKey).problem(t, 429, "rate-limited")
	if !strings.Contains(fmt.Sprint(p["detail"]), "limits.waits_per_partition") {
		t.Errorf("detail %v does not name the limit", p["detail"])
	}
	f.do("GET", vesslTask+"?wait=1", "", "Authorization: Bearer other").expect(t, 200, nil)
	<-done
}

func TestBatchWaits(t *testing.T) {
	t.Parallel()
	f, finish := movingFace(t)
	batch := func(body string) (*answer, time.Duration) {
		start := time.Now()
		a := f.do("POST", "/v1/tasks/batch", body, vesslKey)
		return a, time.Since(start)
	}
	a, took := batch(`{"tasks":["vessl/job1","vessl/job2"],"wait":1}`)
	if took < 900*time.Millisecond || took > 10*time.Second || strings.Count(a.body, "in_progress") < 2 {
		t.Errorf("a batch whose tasks go on, after %v: %s", took, a.body)
	}
	for _, r := range f.batch(`{"tasks":["vessl/job1","vessl/job2"],"wait":3}`, vesslKey) {
		if *r.Age > 1 {
			t.Errorf("polled twice a second, an answer is %d s old after a wait", *r.Age)
		}
	}
	if _, took := batch(`{"tasks":["vessl/BAD","vessl/job2"],"wait":1,"until":"any"}`); took < 900*time.Millisecond {
		t.Errorf("a problem counted as an end for any, after %v", took)
	}
	if _, took := batch(`{"tasks":["vessl/BAD"],"wait":20,"until":"all"}`); took > 10*time.Second {
		t.Errorf("a problem did not count as an end for all, %v", took)
	}
	time.AfterFunc(time.Second, finish)
	for _, until := range []string{"all", "any"} {
		a, took := batch(`{"tasks":["vessl/job1","vessl/job2"],"wait":30,"until":"` + until + `"}`)
		if took > 15*time.Second || !strings.Contains(a.body, `"completed"`) {
			t.Errorf("until %s, after %v: %s", until, took, a.body)
		}
	}
}
