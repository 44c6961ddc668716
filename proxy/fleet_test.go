package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pollux/proxy/poller/upstream"
)

func (f *face) fleet(headers ...string) (v fleetShape) {
	f.t.Helper()
	a := f.do("GET", "/v1/fleet", "", headers...)
	if a.StatusCode != 200 {
		f.t.Fatalf("GET /v1/fleet: got %d %s", a.StatusCode, a.body)
	}
	must(f.t, json.Unmarshal([]byte(a.body), &v))
	return v
}

func TestFleet(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/done", "shannon/done", "shannon/done") // a miss, two hits
	etag := f.do("GET", "/v1/tasks/shannon/done", "", "X-API-Key: a").Header.Get("ETag")
	f.do("GET", "/v1/tasks/shannon/done", "", "X-API-Key: a", "If-None-Match: "+etag).expect(t, 304, nil)
	f.answer(runningShannon)
	f.know("X-API-Key: b", "shannon/run")
	f.answer(shannonAnswer(`{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_FAILED","error":"it broke"}`))
	f.know("X-API-Key: a", "shannon/f1", "shannon/f2")

	v := f.fleet()
	if v.Object != "fleet" || v.Tasks.Total != 4 || v.Tasks.ByStatus["failed"] != 2 || v.Tasks.ByUpstream["shannon"]["completed"] != 1 || len(v.Tasks.ByStatus) != 9 {
		t.Errorf("tasks: %+v", v.Tasks)
	}
	if want := (fleetPollsShape{Received: 8, Upstream: 4, Saved: savedShape{Total: 4, Hit: 3, NotModified: 1}}); v.Polls != want {
		t.Errorf("polls: got %+v, want %+v", v.Polls, want)
	}
	if v.Oldest == nil || v.Oldest.ID != "run" {
		t.Errorf("oldest: %+v", v.Oldest)
	}
	if len(v.Failures) != 1 || v.Failures[0].Count != 2 || v.Failures[0].Message == nil || *v.Failures[0].Message != "it broke" || v.Failures[0].Ref != "shannon/f2" {
		t.Errorf("failures: %+v", v.Failures)
	}
	if h := v.History; h.StepSeconds != 15 || len(h.PollsUpstream) != len(h.PollsReceived) || len(h.ByStatus) != 9 || len(h.ByStatus["queued"]) != len(h.PollsReceived) {
		t.Errorf("history: %+v", h)
	}
	own := f.fleet("X-API-Key: b")
	if own.Tasks.Total != 1 || own.Oldest == nil || own.Oldest.ID != "run" || len(own.Failures) > 0 || len(own.History.ByStatus["failed"]) > 0 {
		t.Errorf("one credential's fleet: %+v", own)
	}
	if stranger := f.fleet("X-API-Key: c"); stranger.Tasks.Total != 0 || stranger.Oldest != nil {
		t.Errorf("a stranger's fleet: %+v", stranger)
	}
	f.do("GET", "/v1/fleet?limit=1", "").expect(t, 400, nil)
	f.do("GET", "/v1/fleet?window=2h", "").problem(t, 400, "invalid-request")
	for _, window := range []string{"15m", "1h", "24h", "all"} {
		var in fleetShape
		must(t, json.Unmarshal([]byte(f.do("GET", "/v1/fleet?window="+window, "").body), &in))
		if in.Tasks.Total != 4 || in.Polls != v.Polls || len(in.Failures) != 1 || in.Oldest == nil {
			t.Errorf("within %s, in which everything happened: %+v", window, in)
		}
	}
	if n, err := testutil.GatherAndCount(f.registry, "pollux_stuck_tasks"); n != 5 || err != nil {
		t.Errorf("pollux_stuck_tasks: %d series, %v, want one for each upstream", n, err)
	}
}

func TestFleetStream(t *testing.T) {
	f := newFace(t, nil)
	next := f.rowStream("/v1/fleet")
	total := func() float64 {
		t.Helper()
		name, data := next()
		if name != "fleet" {
			t.Fatalf("got %s %v", name, data)
		}
		return data["tasks"].(map[string]any)["total"].(float64)
	}
	if n := total(); n != 0 {
		t.Errorf("%v tasks at first", n)
	}
	f.know("X-API-Key: a", "shannon/t1")
	if n := total(); n != 1 {
		t.Errorf("%v tasks, want 1", n)
	}
}

// TestBudget: what may be left at a time is the burst, so that a full budget looks
// full.
func TestBudget(t *testing.T) {
	f := newFace(t, nil)
	all := upstreams(f.base)
	for name, u := range all {
		u.Rate = &upstream.RateConfig{Requests: 30, Per: time.Minute, Burst: 5}
		all[name] = u
	}
	f.replace(all, DefaultConfig())
	var v struct{ Data []upstreamShape }
	must(t, json.Unmarshal([]byte(f.do("GET", "/v1/upstreams", "").body), &v))
	if len(v.Data) == 0 {
		t.Fatal("no upstreams")
	}
	for _, u := range v.Data {
		if want := (budgetShape{Limit: 30, PerSeconds: 60, Burst: 5, Left: 5}); u.Budget == nil || *u.Budget != want {
			t.Errorf("budget of %s: %+v, want %+v", u.Name, u.Budget, want)
		}
	}
}

func TestUpstreams(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/t1")
	f.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		io.WriteString(w, "secret of the upstream")
	})
	f.do("GET", "/v1/tasks/shannon/t2", "", "X-API-Key: a").expect(t, 502, nil)
	a := f.do("GET", "/v1/upstreams", "")
	var v struct {
		Object string
		Data   []upstreamShape
	}
	must(t, json.Unmarshal([]byte(a.body), &v))
	if v.Object != "list" || len(v.Data) != 5 || strings.Contains(a.body, "secret") {
		t.Fatalf("got %s", a.body)
	}
	for _, u := range v.Data {
		if u.Name != "shannon" {
			continue
		}
		if u.Provider != "shannon" || u.Breaker != "closed" || u.Budget != nil || u.PausedFor != nil || u.RetryIn != nil || u.ErrorRatio != 0.5 ||
			u.Latency.P50 == nil || u.Latency.P99 == nil || u.Polls.Received != 2 || u.Polls.Upstream != 2 || u.InFlight != 0 {
			t.Errorf("got %+v", u)
		}
		if e := u.LastError; e == nil || e.Type != "upstream-error" || e.Status == nil || *e.Status != 503 || e.At.IsZero() {
			t.Errorf("last error: %+v", e)
		}
	}
	own := f.do("GET", "/v1/upstreams", "", "X-API-Key: a")
	must(t, json.Unmarshal([]byte(own.body), &v))
	for _, u := range v.Data {
		if u.Name != "shannon" && u.Name != "held" {
			t.Errorf("X-API-Key shows %s", u.Name)
		}
	}
}
