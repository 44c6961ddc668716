package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
)

const postedProvider = `
name: posted
identity: {headers: [X-Key]}
params: {id: {in: body, task: true}}
poll: {request: POST /v1/video/status, safe: true, body: {requestId: '{id}', kind: video}, links: [url]}
create: {request: POST /v1/video, id: id}
status: {path: status, words: {busy: in_progress, done: completed}}
fields: {id: requestId}
`

// postedFace is a face whose upstream posted is polled with POST, and echoes.
func postedFace(t *testing.T) (f *face, bodies func() []string) {
	f = newFace(t, withPosters)
	var mu sync.Mutex
	var seen []string
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		mu.Lock()
		if err == nil { // what breaks off is no request
			seen = append(seen, r.URL.RequestURI()+" "+string(b))
		}
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"requestId":%q,"status":"busy","url":"%s/v1/x"}`, gjson.GetBytes(b, "requestId").Str, f.base)
	})
	set, err := providers.Builtin()
	must(t, err)
	own, err := providers.Load(fstest.MapFS{"posted.yaml": {Data: []byte(postedProvider)}})
	must(t, err)
	set, err = set.Merge(own)
	must(t, err)
	all := upstreams(f.base)
	u := upstream.DefaultConfig()
	u.Provider, u.BaseURL, u.Timeout = "posted", f.base, 5*time.Second
	all["posted"] = u
	built, useUpstreams, err := f.poller.Prepare(poller.Config{Upstreams: all}, set)
	must(t, err)
	cfg := DefaultConfig()
	withPosters(&cfg)
	useSettings, err := f.server.Prepare(cfg, built)
	must(t, err)
	useUpstreams()
	useSettings()
	return f, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := seen
		seen = nil
		return out
	}
}

func withPosters(c *Config) {
	c.Clients = []access.ClientConfig{
		{Name: "reader", Key: "key-reader", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead}},
		{Name: "submitter", Key: "key-submitter", Upstreams: []string{"*"}, Scopes: []string{access.ScopeSubmit}},
		{Name: "watcher", Key: "key-watcher", Upstreams: []string{"*"}, Scopes: []string{access.ScopeFleet}},
	}
}

const (
	postedPath = "/native/posted/v1/video/status"
	posterKey  = "X-Key: one"
	mayRead    = "X-Pollux-Key: key-reader"
	maySubmit  = "X-Pollux-Key: key-submitter"
)

// TestNativePostIsPoll: a POST with the body that Pollux would send is a status
// poll, and shares its answer with unified ones.
func TestNativePostIsPoll(t *testing.T) {
	f, bodies := postedFace(t)
	if a := f.do("GET", "/v1/tasks/posted/r1", "", posterKey, mayRead); a.StatusCode != 200 || gjson.Get(a.body, "status").Str != "in_progress" {
		t.Fatalf("unified: %d %s", a.StatusCode, a.body)
	}
	for _, body := range []string{`{"requestId":"r1","kind":"video"}`, " {\n \"kind\" : \"vid\\u0065o\", \"requestId\":\"r1\"}\n"} {
		a := f.do("POST", postedPath, body, posterKey, mayRead)
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Cache-Status"), "pollux; hit") || a.body != `{"requestId":"r1","status":"busy","url":"/native/posted/v1/x"}` {
			t.Errorf("%s: %d %v %s", body, a.StatusCode, a.Header, a.body)
		}
		if not := f.do("POST", postedPath, body, posterKey, mayRead, "If-None-Match: "+a.Header.Get("ETag")); not.StatusCode != 304 {
			t.Errorf("%s: conditional %d", body, not.StatusCode)
		}
	}
	if got := bodies(); len(got) != 1 || got[0] != `/v1/video/status {"requestId":"r1","kind":"video"}` {
		t.Errorf("the upstream saw %q", got)
	}
	if a := f.do("POST", postedPath, `{"requestId":"r1","kind":"video"}`, posterKey, maySubmit); a.StatusCode != 403 {
		t.Errorf("a poll by who may not read: %d", a.StatusCode)
	}
	if a := f.do("POST", postedPath, `{"requestId":"r1","kind":"video"}`, posterKey, "X-Pollux-Key: key-watcher"); a.StatusCode != 403 {
		t.Errorf("a poll by who may neither: %d", a.StatusCode)
	}
	if got := bodies(); len(got) != 0 {
		t.Errorf("the upstream saw %q", got)
	}
}

// TestNativePostIsForwarded: any other body goes on as it is, once.
func TestNativePostIsForwarded(t *testing.T) {
	f, bodies := postedFace(t)
	long := strings.Repeat("x", 200<<10)
	for _, tt := range []struct{ name, query, body, header string }{
		{"another member", "", `{"requestId":"r1","kind":"video","n":1}`, ""},
		{"another text", "", `{"requestId":"r1","kind":"audio"}`, ""},
		{"a member twice", "", `{"requestId":"r1","requestId":"r1","kind":"video"}`, ""},
		{"no JSON", "", `requestId=r1`, ""},
		{"a query", "?x=1", `{"requestId":"r1","kind":"video"}`, ""},
		{"a cookie", "", `{"requestId":"r1","kind":"video"}`, "Cookie: a=b"},
		{"long", "", `{"requestId":"` + long + `","kind":"video"}`, ""},
		{"none", "", "", ""},
	} {
		for _, chunked := range []bool{false, true} {
			req, err := http.NewRequest("POST", "http://"+f.address+postedPath+tt.query, strings.NewReader(tt.body))
			must(t, err)
			if chunked {
				req.Body = io.NopCloser(io.MultiReader(strings.NewReader(tt.body)))
				req.ContentLength = -1
			}
			for _, h := range []string{posterKey, maySubmit, tt.header} {
				if name, value, ok := strings.Cut(h, ": "); ok {
					req.Header.Set(name, value)
				}
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			must(t, err)
			_, err = io.Copy(io.Discard, res.Body)
			must(t, err)
			res.Body.Close()
			if got := res.Header.Get("Cache-Status"); res.StatusCode != 200 || got != "pollux; fwd=bypass" {
				t.Errorf("%s, chunked %v: %d %q", tt.name, chunked, res.StatusCode, got)
			}
			if got := bodies(); len(got) != 1 || got[0] != "/v1/video/status"+tt.query+" "+tt.body {
				t.Errorf("%s, chunked %v: the upstream saw %.300q", tt.name, chunked, got)
			}
		}
	}
	if a := f.do("POST", postedPath, `{"n":1}`, posterKey, mayRead); a.StatusCode != 403 {
		t.Errorf("forwarded for who may not submit: %d", a.StatusCode)
	}
	if status, open := f.raw("POST " + postedPath + " HTTP/1.1\r\nHost: localhost\r\nX-Key: one\r\nX-Pollux-Key: key-submitter\r\nContent-Length: 13\r\n\r\n" + `{"kind":"a"} `); status != 200 || !open {
		t.Errorf("the next request on the connection: %d, open %v", status, open)
	}
}
