package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pollux/proxy/access"
)

// listPage is an answer of /v1/tasks.
type listPage struct {
	Object string
	Data   []map[string]any
	Next   *string `json:"next_cursor"`
}

func (p *listPage) ids() (ids []string) {
	for _, row := range p.Data {
		ids = append(ids, row["id"].(string))
	}
	return ids
}

// list asks for a page that must come.
func (f *face) list(query string, headers ...string) (p listPage) {
	f.t.Helper()
	a := f.do("GET", "/v1/tasks"+query, "", headers...)
	if a.StatusCode != 200 {
		f.t.Fatalf("GET /v1/tasks%s: got %d %s", query, a.StatusCode, a.body)
	}
	must(f.t, json.Unmarshal([]byte(a.body), &p))
	return p
}

// poll makes tasks known: "id" or "upstream/id".
func (f *face) know(key string, refs ...string) {
	f.t.Helper()
	for _, ref := range refs {
		if a := f.do("GET", "/v1/tasks/"+ref, "", key); a.StatusCode != 200 {
			f.t.Fatalf("GET %s: got %d %s", ref, a.StatusCode, a.body)
		}
	}
}

func sorted(ids []string) string {
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func TestListRow(t *testing.T) {
	f := newFace(t, nil)
	f.answer(shannonAnswer(`{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_FAILED","error":"it broke <here>","model_used":"m-1","created_at":"2025-10-22T10:30:00Z"}`))
	f.know("X-API-Key: a", "shannon/t1")
	polls := f.polls.Load()
	p := f.list("")
	if p.Object != "list" || p.Next != nil || len(p.Data) != 1 {
		t.Fatalf("got %+v", p)
	}
	row := p.Data[0]
	for name, want := range map[string]any{
		"id": "t1", "upstream": "shannon", "provider": "shannon", "status": "failed", "native_status": "TASK_STATUS_FAILED",
		"terminal": true, "model": "m-1", "stuck": false, "ref": "shannon/t1", "age": 0.0,
	} {
		if row[name] != want {
			t.Errorf("%s = %v, want %v", name, row[name], want)
		}
	}
	if e, ok := row["error"].(map[string]any); !ok || len(e) != 2 || e["message"] != "it broke <here>" {
		t.Errorf("error = %v, want an object with a code and the message", row["error"])
	}
	var names []string
	for name := range row {
		names = append(names, name)
	}
	if got := sorted(names); got != "age completed_at created_at error first_seen id key model native_status provider ref status stuck terminal updated_at upstream" {
		t.Errorf("members: %s", got)
	}
	if f.polls.Load() != polls {
		t.Error("a list asked the upstream")
	}
	f.do("HEAD", "/v1/tasks", "").expect(t, 200, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"})
	f.do("DELETE", "/v1/tasks", "").expect(t, 405, map[string]string{"Allow": "GET, HEAD, OPTIONS"})
}

func TestListFilters(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/done-1", "shannon/done-2")
	f.answer(runningShannon)
	f.know("X-API-Key: a", "shannon/run-1", "held/run-2")
	for query, want := range map[string]string{
		"":                                 "done-1 done-2 run-1 run-2",
		"?upstream=shannon":                "done-1 done-2 run-1",
		"?upstream=shannon,held":           "done-1 done-2 run-1 run-2",
		"?upstream=vessl":                  "",
		"?status=completed":                "done-1 done-2",
		"?status=completed%2Cin_progress":  "done-1 done-2 run-1 run-2",
		"?status=failed":                   "",
		"?terminal=true":                   "done-1 done-2",
		"?terminal=false":                  "run-1 run-2",
		"?terminal=false&status=completed": "",
		"?q=done":                          "done-1 done-2",
		"?q=done-1":                        "done-1",
		"?q=%64one-1":                      "done-1",
		"?q=one":                           "",
		"?since=2020-01-01T00:00:00Z":      "done-1 done-2 run-1 run-2",
		"?since=2020-01-01T02:00:00+02:00": "done-1 done-2 run-1 run-2",
		"?until=2020-01-01T00:00:00Z":      "",
		"?upstream=&status=&terminal=&q=&since=&until=&sort=&limit=&cursor=": "done-1 done-2 run-1 run-2",
	} {
		p := f.list(query)
		if got := sorted(p.ids()); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
		if strings.HasPrefix(query, "?upstream=vessl") && p.Data == nil {
			t.Errorf("%s: data is null", query)
		}
	}
	for sort, want := range map[string]string{
		"created_at": "done-1 done-2 run-1 run-2", "-created_at": "run-2 run-1 done-2 done-1",
		"updated_at": "done-1 done-2 run-1 run-2", "-completed_at": "run-2 run-1 done-2 done-1",
	} {
		if got := strings.Join(ids(f.list("?sort="+sort)), " "); got != want {
			t.Errorf("sort %s: got %q, want %q", sort, got, want)
		}
	}
}

func ids(p listPage) []string { return p.ids() }

func TestListParameters(t *testing.T) {
	f := newFace(t, nil)
	for query, name := range map[string]string{
		"?limit=0": "limit", "?limit=1001": "limit", "?limit=x": "limit", "?limit=-1": "limit", "?limit=%2B5": "limit", "?limit=1&limit=2": "limit",
		"?terminal=yes": "terminal", "?status=done": "status", "?status=queued,": "status", "?upstream=nope": "upstream",
		"?since=yesterday": "since", "?until=2025-13-01T00:00:00Z": "until", "?sort=name": "sort", "?sort=--created_at": "sort",
		"?cursor=abc": "cursor", "?cursor=%25": "cursor", "?nope=1": "nope", "?q=%zz": "q", "?q=%ff": "q", "?q=" + strings.Repeat("x", 2049): "q",
	} {
		a := f.do("GET", "/v1/tasks"+query, "")
		var p struct{ Type, Detail string }
		must(t, json.Unmarshal([]byte(a.body), &p))
		if a.StatusCode != 400 || !strings.HasPrefix(p.Detail, name+" ") || p.Type != "/problems/invalid-request" {
			t.Errorf("%s: got %d %s, want 400 that begins with %s", query, a.StatusCode, a.body, name)
		}
	}
	if a := f.do("GET", "/v1/tasks?q="+strings.Repeat("x", 2048), ""); a.StatusCode != 200 { // LiteLLM's ids have some 550
		t.Errorf("a long id: %d %s", a.StatusCode, a.body)
	}
	if a := f.do("GET", "/v1/tasks?%3Cscript%3E=1", ""); a.StatusCode != 400 || strings.Contains(a.body, "script") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
}

func TestListCursor(t *testing.T) {
	f := newFace(t, nil)
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("t%02d", i)
		f.know("X-API-Key: a", "shannon/"+id)
		want = append(want, id)
	}
	var got []string
	query := "?limit=10&sort=created_at"
	for cursor := ""; ; {
		p := f.list(query + cursor)
		got = append(got, p.ids()...)
		if p.Next == nil {
			break
		}
		f.know("X-API-Key: a", "shannon/new"+strconv.Itoa(len(got))) // comes last
		cursor = "&cursor=" + url.QueryEscape(*p.Next)
		for _, other := range []string{"?limit=10&sort=-created_at", "?limit=10&sort=created_at&q=t", "?sort=updated_at"} {
			if a := f.do("GET", "/v1/tasks"+other+cursor, ""); a.StatusCode != 400 {
				t.Errorf("a cursor of %s with %s: got %d, want 400", query, other, a.StatusCode)
			}
		}
		if p := f.list("?limit=3&sort=created_at"+cursor, "X-API-Key: stranger"); len(p.Data) > 0 {
			t.Errorf("a stranger's cursor shows %v", p.ids())
		}
	}
	if strings.Join(got[:25], " ") != strings.Join(want, " ") {
		t.Errorf("got %v", got)
	}
}

// TestListIsolation: whatever is polled with whichever credential, and however
// it is asked for, no row, event or count ever is of another credential.
func TestListIsolation(t *testing.T) {
	f := newFace(t, nil)
	callers := []string{"X-API-Key: a", "X-API-Key: b", "Authorization: Bearer c"}
	known := map[string]map[string]bool{}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		who := rapid.SampledFrom(callers).Draw(rt, "who")
		if known[who] == nil {
			known[who] = map[string]bool{}
		}
		n++
		id := fmt.Sprintf("t%d", n%40) // others have tasks of the same id
		f.answer(rapid.SampledFrom([]http.HandlerFunc{completedShannon, runningShannon}).Draw(rt, "answer"))
		f.know(who, "shannon/"+id)
		known[who][id] = true
		for _, caller := range append(callers, "X-API-Key: stranger") {
			query := "?limit=1000" + rapid.SampledFrom([]string{"", "&q=t", "&upstream=shannon", "&terminal=true", "&sort=updated_at", "&status=completed,in_progress"}).Draw(rt, "query")
			p := f.list(query, caller)
			for _, id := range p.ids() {
				if !known[caller][id] {
					rt.Fatalf("%s sees %s", caller, id)
				}
			}
			if !strings.Contains(query, "terminal") && len(p.Data) != len(known[caller]) {
				rt.Fatalf("%s sees %d rows of %d", caller, len(p.Data), len(known[caller]))
			}
			if total := f.fleet(caller).Tasks.Total; total != len(known[caller]) {
				rt.Fatalf("%s counts %d tasks of %d", caller, total, len(known[caller]))
			}
		}
	})
}

// TestListRowKeys: one reference under two credentials is two rows.
func TestListRowKeys(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/t1")
	f.know("X-API-Key: b", "shannon/t1")
	own := f.list("", "X-API-Key: a").Data
	all := f.list("").Data
	if len(own) != 1 || len(all) != 2 || all[0]["ref"] != all[1]["ref"] || all[0]["key"] == all[1]["key"] {
		t.Fatalf("got %v of one credential and %v of all", own, all)
	}
	if key := own[0]["key"]; key != all[0]["key"] && key != all[1]["key"] {
		t.Errorf("key %v of a row changes with who looks: %v", key, all)
	}
}

func TestListSight(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/mine", "held/shared")
	see := func(want string, headers ...string) {
		t.Helper()
		if got := sorted(ids(f.list("", headers...))); got != want {
			t.Errorf("%v: got %q, want %q", headers, got, want)
		}
	}
	see("mine shared")
	see("mine shared", "X-API-Key: a")
	see("shared", "X-API-Key: b")
	f.answer(refusedShannon)
	f.do("GET", "/v1/tasks/shannon/other", "", "X-API-Key: a").expect(t, 401, nil)
	see("shared", "X-API-Key: a") // suspended
	see("mine shared")
	f.answer(completedShannon)
	time.Sleep(1100 * time.Millisecond) // the provider's minimum between two polls of a task
	f.know("X-API-Key: a", "shannon/other")
	see("mine other shared", "X-API-Key: a")
	f.do("DELETE", "/v1/tasks/shannon/mine", "", "X-API-Key: a").expect(t, 204, nil)
	see("other shared", "X-API-Key: a")

	keyed := DefaultConfig()
	keyed.Clients = []access.ClientConfig{
		{Name: "ops", Key: "key-ops", Upstreams: []string{"*"}, Scopes: []string{access.ScopeFleet}},
		{Name: "some", Key: "key-some", Upstreams: []string{"held"}, Scopes: []string{access.ScopeFleet}},
		{Name: "reader", Key: "key-reader", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead}},
		{Name: "narrow", Key: "key-narrow", Upstreams: []string{"orq"}, Scopes: []string{access.ScopeRead}},
		{Name: "purger", Key: "key-purger", Upstreams: []string{"*"}, Scopes: []string{access.ScopePurge}},
	}
	must(t, f.reload(keyed))
	see("other shared", "X-Pollux-Key: key-ops")
	see("other shared", "Authorization: Bearer key-ops")
	see("shared", "X-Pollux-Key: key-some")
	see("shared", "X-Pollux-Key: key-reader")
	see("shared", "Authorization: Bearer key-reader")
	see("other shared", "X-Pollux-Key: key-reader", "X-API-Key: a")
	see("", "X-Pollux-Key: key-narrow", "X-API-Key: a")
	for _, path := range []string{"/v1/tasks", "/v1/fleet", "/v1/upstreams"} {
		f.do("GET", path, "").expect(t, 401, map[string]string{"WWW-Authenticate": "Bearer.*"})
		f.do("GET", path, "", "X-API-Key: a").expect(t, 401, nil)
		f.do("GET", path, "", "X-Pollux-Key: nope").expect(t, 401, nil)
		f.do("GET", path, "", "X-Pollux-Key: key-purger").expect(t, 403, nil)
	}
}

// TestListAnonymous: on an address that others reach, nobody has the scope
// fleet.
func TestListAnonymous(t *testing.T) {
	f := newFace(t, nil)
	f.know("X-API-Key: a", "shannon/mine", "held/shared")
	cfg := DefaultConfig()
	cfg.Listen, cfg.AllowAnonymous = "0.0.0.0:0", true
	st, err := prepare(cfg, f.poller.Upstreams(), f.poller, f.server.secret, f.server.log)
	must(t, err)
	f.server.settings.Store(st)
	if got := sorted(ids(f.list(""))); got != "shared" {
		t.Errorf("got %q, want what any caller may poll", got)
	}
	if got := sorted(ids(f.list("", "X-API-Key: a"))); got != "mine shared" {
		t.Errorf("got %q", got)
	}
}

// rowStream opens an event stream and returns how to read its next event.
func (f *face) rowStream(path string, headers ...string) (next func() (name string, data map[string]any)) {
	f.t.Helper()
	req, err := http.NewRequest("GET", "http://"+f.address+path, nil)
	must(f.t, err)
	req.Header.Set("Accept", "text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	must(f.t, err)
	f.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("%s: got %d, %q", path, res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (name string, data map[string]any) {
		f.t.Helper()
		for lines.Scan() {
			switch text := lines.Text(); {
			case strings.HasPrefix(text, "event: "):
				name = text[len("event: "):]
			case strings.HasPrefix(text, "data: "):
				must(f.t, json.Unmarshal([]byte(text[len("data: "):]), &data))
				return name, data
			}
		}
		return "end", nil
	}
}

func TestListStream(t *testing.T) {
	f := newFace(t, nil)
	f.answer(runningShannon)
	f.know("X-API-Key: a", "shannon/t1")
	f.know("X-API-Key: a", "held/known") // or a refusal leaves the stream nothing to wait for
	next := f.rowStream("/v1/tasks?upstream=shannon&status=in_progress,completed", "X-API-Key: a")
	expect := func(id, status string) {
		t.Helper()
		if name, row := next(); name != "row" || row["id"] != id || row["status"] != status {
			t.Fatalf("got %s %v, want a row of %s, %s", name, row, id, status)
		}
	}
	expect("t1", "in_progress")
	f.know("X-API-Key: b", "shannon/foreign")
	f.know("X-API-Key: a", "held/filtered")
	f.know("X-API-Key: a", "shannon/t2")
	expect("t2", "in_progress")
	f.answer(completedShannon)
	f.do("GET", "/v1/tasks/shannon/t3", "", "X-API-Key: a")
	expect("t3", "completed")
	f.answer(refusedShannon)
	f.do("GET", "/v1/tasks/shannon/t4", "", "X-API-Key: a").expect(t, 401, nil)
	f.answer(completedShannon)
	f.know("X-API-Key: b", "shannon/t5")
	f.know("X-API-Key: a", "shannon/t6") // let in again
	expect("t6", "completed")
}

// TestListStreamEnds: a stream that can show nothing any more says why.
func TestListStreamEnds(t *testing.T) {
	f := newFace(t, func(c *Config) {
		c.Clients = []access.ClientConfig{{Name: "a", Key: "key-a", Upstreams: []string{"shannon"}, Scopes: []string{access.ScopeRead}}}
	})
	headers := []string{"X-Pollux-Key: key-a", "X-API-Key: a"}
	f.do("GET", "/v1/tasks/shannon/t1", "", headers...).expect(t, 200, nil)
	next := f.rowStream("/v1/tasks", headers...)
	if name, row := next(); name != "row" || row["id"] != "t1" {
		t.Fatalf("got %s %v", name, row)
	}
	f.answer(refusedShannon)
	f.do("GET", "/v1/tasks/shannon/t2", "", headers...).expect(t, 401, nil)
	if name, problem := next(); name != "problem" || problem["status"] != 401.0 {
		t.Errorf("got %s %v", name, problem)
	}
	if name, _ := next(); name != "end" {
		t.Errorf("got %s after the problem", name)
	}
}

func refusedShannon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(401)
	io.WriteString(w, `{"error":"invalid api key"}`)
}
