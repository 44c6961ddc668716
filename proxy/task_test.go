package proxy

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/proxy/problem"
)

const (
	shannonTask = "/v1/tasks/shannon/t1"
	key1        = "X-API-Key: one"
)

func (a *answer) expect(t testing.TB, code int, headers map[string]string) {
	t.Helper()
	if a.StatusCode != code {
		t.Errorf("%s %s: got %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, code, a.body)
	}
	for name, pattern := range headers {
		got := strings.Join(a.Header.Values(name), "|")
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(got) {
			t.Errorf("%s %s: %s = %q, want %q", a.Request.Method, a.Request.URL, name, got, pattern)
		}
	}
}

// problem expects a problem of a type and returns it.
func (a *answer) problem(t testing.TB, code int, kind string) map[string]any {
	t.Helper()
	a.expect(t, code, map[string]string{"Content-Type": "application/problem\\+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
	var p map[string]any
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%s: %v: %q", a.Request.URL, err, a.body)
	}
	want := "/problems/" + kind
	if kind == "about:blank" {
		want = kind
	}
	if p["type"] != want || p["status"] != float64(code) || p["title"] == "" {
		t.Errorf("%s: got problem %v, want type %s", a.Request.URL, p, want)
	}
	return p
}

func TestHeadersOfTerminal(t *testing.T) {
	f := newFace(t, nil)
	miss := f.do("GET", shannonTask, "", key1)
	headers := map[string]string{
		"Content-Type": "application/json", "Etag": `W/"[^"]+"`, "Age": "0", "Retry-After": "",
		"Cache-Control": "private, max-age=(900|899), immutable", "Cache-Status": "pollux; fwd=uri-miss; stored|pollux; fwd=uri-miss.*",
		"Vary": "X-Api-Key, Authorization, X-User-Id, X-Tenant-Id, Accept, Prefer", "X-Content-Type-Options": "nosniff", "Server": "",
	}
	miss.expect(t, 200, headers)
	hit := f.do("GET", shannonTask, "", key1)
	headers["Cache-Status"] = "pollux; hit; detail=.*"
	hit.expect(t, 200, headers)
	if hit.body != miss.body || hit.Header.Get("Etag") != miss.Header.Get("Etag") {
		t.Errorf("the hit differs from the miss")
	}
	if n := f.polls.Load(); n != 1 {
		t.Errorf("got %d upstream polls, want 1", n)
	}
	head := f.do("HEAD", shannonTask, "", key1)
	headers["Content-Length"] = fmt.Sprint(len(hit.body))
	head.expect(t, 200, headers)
	if head.body != "" {
		t.Errorf("HEAD has a body")
	}
}

func TestHeadersWhileRunning(t *testing.T) {
	f := newFace(t, nil)
	f.answer(runningShannon)
	f.do("GET", shannonTask, "", key1)
	hit := f.do("GET", shannonTask, "", key1)
	hit.expect(t, 200, map[string]string{
		"Cache-Control": "private, max-age=2", "Retry-After": "[12]", "Age": "0", "Cache-Status": "pollux; hit; ttl=[12]",
	})
}

func TestNotModified(t *testing.T) {
	f := newFace(t, nil)
	f.answer(runningShannon)
	first := f.do("GET", shannonTask, "", key1)
	etag := first.Header.Get("Etag")
	strong := strings.TrimPrefix(etag, "W/")
	for _, c := range []struct {
		ifNoneMatch string
		code        int
	}{
		{etag, 304}, {strong, 304}, {"*", 304}, {`"x", ` + etag, 304}, {`"x" ,,` + strong + `, "y"`, 304},
		{`, ` + etag, 304}, {`,`, 200}, {`"x"`, 200}, {`W/"x"`, 200}, {"x", 200}, {strings.Trim(strong, `"`), 200}, {`"` + etag, 200}, {`*, "x"`, 200}, {`"x" ` + etag, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := f.do(method, shannonTask, "", key1, "If-None-Match: "+c.ifNoneMatch)
			a.expect(t, c.code, map[string]string{
				"Etag": regexp.QuoteMeta(etag), "Retry-After": "[12]", "Age": "[0-9]", "Vary": ".+", "Cache-Control": "private, max-age=2",
				"Cache-Status": "pollux; hit.*", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
			})
			if c.code == 304 && a.body != "" {
				t.Errorf("a 304 has a body: %q", a.body)
			}
		}
	}
}

func TestRequestCacheControl(t *testing.T) {
	f := newFace(t, nil)
	f.do("GET", shannonTask, "", key1, "Cache-Control: only-if-cached", "Accept: text/event-stream").problem(t, 504, "not-cached")
	f.answer(runningShannon)
	f.do("GET", shannonTask, "", key1, "Cache-Control: only-if-cached").problem(t, 504, "not-cached")
	if n := f.polls.Load(); n != 0 {
		t.Errorf("only-if-cached caused %d upstream polls", n)
	}
	f.do("GET", shannonTask, "", key1)
	f.do("GET", shannonTask, "", key1, "Cache-Control: only-if-cached").expect(t, 200, nil)
	// Within the provider's minimum interval of a second, no-cache does not ask.
	f.do("GET", shannonTask, "", key1, "Cache-Control: no-cache").expect(t, 200, nil)
	if n := f.polls.Load(); n != 1 {
		t.Errorf("got %d upstream polls, want 1", n)
	}
}

func TestInclude(t *testing.T) {
	f := newFace(t, nil)
	plain := f.do("GET", shannonTask, "", key1)
	native := f.do("GET", shannonTask+"?include=native", "", key1)
	body := fmt.Sprintf(completedBody, "t1", "t1")
	if want := strings.TrimSuffix(plain.body, "}") + `,"native":` + body + "}"; native.body != want {
		t.Errorf("include=native: got\n%s\nwant\n%s", native.body, want)
	}
	both := f.do("GET", shannonTask+"?include=native%2Chistory", "", key1)
	var doc struct {
		Native  json.RawMessage
		History []struct {
			Status       string    `json:"status"`
			NativeStatus string    `json:"native_status"`
			At           time.Time `json:"at"`
		}
	}
	must(t, json.Unmarshal([]byte(both.body), &doc))
	if string(doc.Native) != body || len(doc.History) != 1 || doc.History[0].Status != "completed" || doc.History[0].At.IsZero() {
		t.Errorf("include=native,history: got %s", both.body)
	}
	history := f.do("GET", shannonTask+"?include=history", "", key1)
	var etags []string
	for _, a := range []*answer{plain, native, both, history} {
		etag := a.Header.Get("Etag")
		if slices.Contains(etags, etag) {
			t.Errorf("%s: the ETag %s stands for something else, too", a.Request.URL, etag)
		}
		etags = append(etags, etag)
		f.do("GET", a.Request.URL.RequestURI(), "", key1, "If-None-Match: "+etag).expect(t, 304, nil)
	}
	if n := f.polls.Load(); n != 1 {
		t.Errorf("got %d upstream polls, want 1", n)
	}
}

// TestIncludeOfNoJSON: where the HTTP code says all, what the upstream sent may
// be no JSON, and a document stays JSON all the same.
func TestIncludeOfNoJSON(t *testing.T) {
	for name, body := range map[string]string{"empty": "", "text": "Done", "cut": `{"state":`, "no UTF-8": "\"\xff\""} {
		f := linkedFace(t, nil)
		f.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		const task = "/v1/tasks/http-202/1?include="
		stream := f.do("GET", task+"native", "", "Accept: text/event-stream")
		got := []string{f.do("GET", task+"native", "").body, f.do("GET", task+"native,history", "").body, events(t, strings.NewReader(stream.body))[0]["data"]}
		for i, suffix := range []string{`,"native":null}`, `"poll":1}]}`, `,"native":null}`} {
			if !json.Valid([]byte(got[i])) || !strings.HasSuffix(got[i], suffix) {
				t.Errorf("%s: got %s, want %s at its end", name, got[i], suffix)
			}
		}
	}
}

func TestParameters(t *testing.T) {
	f := newFace(t, nil)
	for path, detail := range map[string]string{
		shannonTask + "?include=foo":                                "include",
		shannonTask + "?include=":                                   "include",
		shannonTask + "?include=native,foo":                         "include",
		shannonTask + "?include=native&include=native":              "include",
		shannonTask + "?wait=":                                      "wait",
		shannonTask + "?wait=-1":                                    "wait",
		shannonTask + "?wait=1.5":                                   "wait",
		shannonTask + "?wait=x":                                     "wait",
		shannonTask + "?wait=1&wait=1":                              "wait",
		shannonTask + "?secret=hidden":                              "query",
		shannonTask + "?%77ait=1":                                   "query",
		shannonTask + "/more":                                       "path",
		shannonTask + "%2Fmore":                                     "task_id",
		"/v1/tasks/shannon":                                         "path",
		"/v1/tasks/shannon/":                                        "task_id",
		"/v1/tasks/shannon/..":                                      "task_id",
		"/v1/tasks/shannon/%2e%2e":                                  "task_id",
		"/v1/tasks/orq/agent":                                       "path",
		"/v1/tasks/gumloop/abc?api_key=k":                           "user_id",
		"/v1/tasks/gumloop/abc?user_id=u&api_key=k&api_key=k":       "api_key",
		"/v1/tasks/gumloop/abc?user_id=u&user_id=u&api_key=k":       "user_id",
		"/v1/tasks/gumloop/abc?user_id=u&api_key=k&project=private": "query",
	} {
		p := f.do("GET", path, "").problem(t, 400, "invalid-request")
		text := fmt.Sprint(p["detail"])
		if !strings.Contains(text, detail) || strings.Contains(text, "hidden") || strings.Contains(text, "private") {
			t.Errorf("%s: got detail %q, want it to name %s and no value", path, text, detail)
		}
	}
	for path, applied := range map[string]string{
		"?wait=0": "", "?wait=99999999999999999999": "wait=60", "?wait=1&include=history,native": "wait=1",
	} {
		a := f.do("GET", shannonTask+path, "")
		a.expect(t, 200, map[string]string{"Preference-Applied": applied})
	}
	if n := f.polls.Load(); n != 1 {
		t.Errorf("got %d upstream polls, want 1", n)
	}
}

func TestRoutes(t *testing.T) {
	f := newFace(t, nil)
	for _, c := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"GET", "/", 302, ""}, {"HEAD", "/", 302, ""},
		{"GET", "/healthz", 200, ""}, {"HEAD", "/healthz", 200, ""}, {"GET", "/readyz", 200, ""}, {"GET", "/metrics", 200, ""},
		{"GET", "/problems/task-gone", 200, ""}, {"GET", "/problems/nope", 404, ""}, {"GET", "/problems/", 200, ""},
		{"GET", "/healthz/", 404, ""}, {"GET", "//healthz", 404, ""}, {"GET", "/HEALTHZ", 404, ""}, {"GET", "/%68ealthz", 404, ""},
		{"GET", "/v1/../healthz", 404, ""}, {"GET", "/v1", 404, ""}, {"GET", "/v1/tasks/nope/x", 404, ""}, {"GET", "/v1/tasks/Shannon/x", 404, ""},
		{"GET", "/v1/tasks/batch", 405, "POST, OPTIONS"}, {"DELETE", "/v1/tasks/batch", 405, "POST, OPTIONS"},
		{"POST", shannonTask, 405, "GET, HEAD, DELETE, OPTIONS"}, {"PUT", shannonTask, 405, "GET, HEAD, DELETE, OPTIONS"},
		{"PATCH", shannonTask, 405, "GET, HEAD, DELETE, OPTIONS"}, {"POST", "/metrics", 405, "GET, HEAD, OPTIONS"},
		{"OPTIONS", shannonTask, 204, "GET, HEAD, DELETE, OPTIONS"}, {"OPTIONS", "/v1/tasks/batch", 204, "POST, OPTIONS"}, {"OPTIONS", "/nope", 404, ""},
		{"POST", "/v1/tasks/vessl/abc:cancel", 401, ""},
		{"POST", "/v1/tasks/gumloop/abc:cancel?user_id=u&api_key=k", 405, "GET, HEAD, DELETE, OPTIONS"},
		{"POST", "/v1/tasks/shannon/a%3Acancel", 405, "GET, HEAD, DELETE, OPTIONS"},
		{"GET", "/v1/tasks/shannon/a:cancel", 200, ""}, {"DELETE", "/v1/tasks/shannon/a:cancel", 204, ""},
		{"DELETE", shannonTask, 204, ""}, {"DELETE", "/v1/tasks/shannon/never-seen", 204, ""},
	} {
		a := f.do(c.method, c.path, "")
		a.expect(t, c.code, map[string]string{"Allow": c.allow})
		if c.code == 404 && strings.HasPrefix(c.path, "/v1/tasks/") {
			a.problem(t, 404, "unknown-upstream")
		} else if c.code == 404 || c.code == 405 {
			a.problem(t, c.code, "about:blank")
		}
	}
}

func TestForget(t *testing.T) {
	f := newFace(t, nil)
	f.do("GET", shannonTask, "", key1)
	f.do("GET", shannonTask, "", "X-API-Key: two")
	f.do("DELETE", shannonTask, "", key1).expect(t, 204, nil)
	f.do("GET", shannonTask, "", "X-API-Key: two").expect(t, 200, nil)
	if n := f.polls.Load(); n != 2 {
		t.Errorf("got %d upstream polls, want 2: only one partition forgets", n)
	}
	f.do("GET", shannonTask, "", key1).expect(t, 200, nil)
	if n := f.polls.Load(); n != 3 {
		t.Errorf("got %d upstream polls, want 3", n)
	}
}

func TestCancel(t *testing.T) {
	f := newFace(t, nil)
	var cancelled string
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			cancelled = r.URL.Path + " " + r.Header.Get("X-Api-Key")
			w.WriteHeader(202)
			fmt.Fprint(w, `{"success":true}`)
			return
		}
		runningShannon(w, r)
	})
	f.do("GET", shannonTask, "", key1)
	f.do("POST", shannonTask+":cancel", "", key1).expect(t, 202, nil)
	f.do("POST", shannonTask+":cancel", "{}", key1).expect(t, 202, nil)
	if want := "/api/v1/tasks/t1/cancel one"; cancelled != want {
		t.Errorf("the upstream saw %q, want %q", cancelled, want)
	}
	before := f.polls.Load()
	f.do("GET", shannonTask, "", key1).expect(t, 200, nil)
	if f.polls.Load() != before+1 {
		t.Errorf("the poll after a cancel did not ask the upstream")
	}
}

func TestUpstreamTrouble(t *testing.T) {
	f := newFace(t, nil)
	for i, c := range []struct {
		code   int
		body   string
		want   int
		kind   string
		header map[string]string
	}{
		{404, `{"error":"Task not found"}`, 404, "task-not-found", nil},
		{500, `oops`, 502, "upstream-error", nil},
		{401, `{"error":"Invalid API key"}`, 401, "unauthorized", map[string]string{"Www-Authenticate": ".+"}},
		{200, `not json`, 502, "upstream-error", nil},
		{429, `{}`, 429, "rate-limited", map[string]string{"Retry-After": "7"}},
	} {
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(c.code)
			fmt.Fprint(w, c.body)
		})
		a := f.do("GET", fmt.Sprintf("/v1/tasks/shannon/x%d", i), "", fmt.Sprintf("X-API-Key: k%d", i))
		a.expect(t, c.want, c.header)
		p := a.problem(t, c.want, c.kind)
		if p["upstream"] != "shannon" || p["upstream_status"] != float64(c.code) {
			t.Errorf("%d: got %v", c.code, p)
		}
		if c.code == 429 && p["retry_after"] != float64(7) {
			t.Errorf("429: got %v", p)
		}
	}
}

func TestProblemsAreExplained(t *testing.T) {
	f := newFace(t, func(c *Config) { c.PublicURL = "https://pollux.test/p/" })
	list := f.do("GET", "/problems/", "")
	for _, kind := range problem.Kinds {
		if link := fmt.Sprintf("<a href=%q>", kind.Type); !strings.Contains(list.body, link) {
			t.Errorf("/problems/ has no %s", link)
		}
		a := f.do("GET", "/problems/"+string(kind.Type), "")
		a.expect(t, 200, map[string]string{"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'.*"})
		if !strings.Contains(a.body, kind.Title) || !strings.Contains(a.body, html.EscapeString(kind.About)) {
			t.Errorf("/problems/%s says %s", kind.Type, a.body)
		}
	}
	p := problem.Problem{Type: problem.RateLimited, Status: 429, Detail: "d", Upstream: "u", UpstreamStatus: 429, RetryAfter: 1500 * time.Millisecond}
	want := `{"type":"https://pollux.test/p/problems/rate-limited","title":"Too many requests","status":429,"detail":"d","upstream":"u","upstream_status":429,"retry_after":2}`
	if got := p.AppendJSON(nil, f.server.settings.Load().wire.PublicURL); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
