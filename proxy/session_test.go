package proxy

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// login returns the cookie of a session of the key's client.
func (f *face) login(key string) string {
	f.t.Helper()
	a := f.do("POST", "/v1/session", `{"key":"`+key+`"}`)
	a.expect(f.t, 204, map[string]string{
		"Set-Cookie": "pollux_session=[A-Za-z0-9_-]+; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict", "Cache-Control": "no-store"})
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	return "Cookie: " + cookie
}

func TestSession(t *testing.T) {
	f := newFace(t, withClients)
	all, reader := f.login("key-all"), f.login("key-reader")
	origin, csrf := "Origin: http://"+f.address, "X-Pollux-CSRF: 1"
	const held, shannon = "/v1/tasks/held/t1", shannonTask
	for _, c := range []struct {
		method, path string
		headers      []string
		code         int
	}{
		{"GET", held, []string{all}, 200},
		{"GET", held, []string{reader}, 200},
		{"HEAD", held, []string{"Cookie: a=b; " + strings.TrimPrefix(all, "Cookie: ")}, 200},
		{"GET", held, []string{all + "x"}, 401},
		{"GET", held, []string{"Cookie: pollux_session="}, 401},
		{"GET", held, []string{all, "X-Pollux-Key: wrong"}, 401},
		{"GET", held, []string{reader, "X-Pollux-Key: key-all"}, 200},
		{"GET", "/v1/tasks/vessl/abc", []string{all}, 401},
		{"GET", shannon, []string{all, "X-API-Key: one"}, 200},
		{"GET", shannon, []string{reader, "X-API-Key: one"}, 403},
		{"DELETE", held, []string{all}, 403},
		{"DELETE", held, []string{all, csrf}, 403},
		{"DELETE", held, []string{all, origin}, 403},
		{"DELETE", held, []string{all, origin, "X-Pollux-CSRF: 0"}, 403},
		{"DELETE", held, []string{all, "Origin: http://localhost:1", csrf}, 403},
		{"DELETE", held, []string{all, "Origin: null", csrf}, 403},
		{"DELETE", held, []string{all, origin, csrf}, 204},
		{"DELETE", held, []string{reader, origin, csrf}, 403},
		{"GET", "/metrics", []string{all}, 200},
		{"GET", "/metrics", []string{reader}, 403},
		{"GET", "/native/held/api/v1/tasks/t1", []string{all}, 401},
		{"DELETE", "/v1/session", []string{all}, 403},
		{"DELETE", "/v1/session", []string{all, origin, csrf}, 204},
		{"DELETE", "/v1/session", nil, 204},
	} {
		if a := f.do(c.method, c.path, "", c.headers...); a.StatusCode != c.code {
			t.Errorf("%s %s with %d headers: got %d, want %d: %s", c.method, c.path, len(c.headers), a.StatusCode, c.code, a.body)
		}
	}
	if vary := f.do("GET", held, "", all).Header.Get("Vary"); !strings.Contains(vary, "Cookie") {
		t.Errorf("Vary is %q, and a browser would show one client's answers to the next", vary)
	}
}

func TestSessionDocument(t *testing.T) {
	f := newFace(t, withClients)
	reader := f.login("key-reader")
	anybody := `{"object":"session","login_required":true,"client":null,"scopes":[]}`
	for _, c := range []struct{ header, want string }{
		{"Accept: */*", anybody},
		{"Cookie: pollux_session=old", anybody},
		{reader, `{"object":"session","login_required":true,"client":"reader","scopes":["read"],"version":"(devel)"}`},
		{"X-Pollux-Key: key-reader", `{"object":"session","login_required":true,"client":"reader","scopes":["read"],"version":"(devel)"}`},
	} {
		if a := f.do("GET", "/v1/session", "", c.header); a.StatusCode != 200 || a.body != c.want {
			t.Errorf("got %d %s, want %s", a.StatusCode, a.body, c.want)
		}
	}
	f.do("GET", "/v1/session", "", "X-Pollux-Key: wrong").problem(t, 401, "unauthorized")
	open := newFace(t, nil)
	if a := open.do("GET", "/v1/session", ""); a.body != `{"object":"session","login_required":false,"client":null,"scopes":["read","submit","fleet","webhooks","purge"],"version":"(devel)"}` {
		t.Errorf("without clients: %s", a.body)
	}
	open.do("POST", "/v1/session", `{"key":"k"}`).problem(t, 400, "invalid-request")
	open.do("DELETE", "/v1/session", "").expect(t, 204, nil)
}

func TestLoginRefused(t *testing.T) {
	f := newFace(t, withClients)
	for _, body := range []string{`{}`, `[]`, `{"key":1}`, `{"key":""}`, `{"key":"key-all","more":1}`, `{"key":"key-all"`, `{"key":"key-all","key":"x"}`} {
		f.do("POST", "/v1/session", body).problem(t, 400, "invalid-request")
	}
	f.do("POST", "/v1/session", `{"key":"key-all"}`, "Content-Type: text/plain").problem(t, 415, "about:blank")
	f.do("POST", "/v1/session", `{"key":"key-all"}`, "Origin: http://evil.test").problem(t, 403, "forbidden")
	for range 10 {
		f.do("POST", "/v1/session", `{"key":"wrong-key"}`).problem(t, 401, "unauthorized")
	}
	a := f.do("POST", "/v1/session", `{"key":"key-all"}`)
	a.problem(t, 429, "rate-limited")
	a.expect(t, 429, map[string]string{"Retry-After": "6", "Set-Cookie": ""})
	if strings.Contains(f.log.String(), "wrong-key") {
		t.Errorf("the log holds what was tried")
	}
}

// TestSessionEnds: with its time, with its client's key, with the store key;
// not with a restart or a reload.
func TestSessionEnds(t *testing.T) {
	f := newFace(t, withClients)
	cookie := f.login("key-all")
	other := newFace(t, withClients) // as after a restart: the same store key
	other.do("GET", "/v1/tasks/held/t1", "", cookie).expect(t, 200, nil)
	cfg := DefaultConfig()
	withClients(&cfg)
	must(t, f.reload(cfg))
	f.do("GET", "/v1/tasks/held/t1", "", cookie).expect(t, 200, nil)
	cfg.Clients[1].Key = "another-key"
	must(t, f.reload(cfg))
	f.do("GET", "/v1/tasks/held/t1", "", cookie).problem(t, 401, "unauthorized")
	withClients(&cfg)
	cfg.Clients = append(cfg.Clients[:1], cfg.Clients[2])
	must(t, f.reload(cfg))
	f.do("GET", "/v1/tasks/held/t1", "", cookie).problem(t, 401, "unauthorized")
}

func TestSecureSession(t *testing.T) {
	f := newFace(t, func(c *Config) { withClients(c); c.PublicURL = "https://pollux.example/p" })
	a := f.do("POST", "/v1/session", `{"key":"key-all"}`, "Origin: https://pollux.example")
	a.expect(t, 204, map[string]string{"Set-Cookie": ".*; Secure"})
}

// TestUpstreamSeesNoSession: the cookie is not forwarded, and a status poll
// that brings no other is shared as if there were none.
func TestUpstreamSeesNoSession(t *testing.T) {
	f := newFace(t, nil)
	var mu sync.Mutex
	var seen []string
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Join(r.Header["Cookie"], "|"))
		completedShannon(w, r)
	})
	f.do("POST", "/native/shannon/api/v1/tasks", `{}`, key1, "Cookie: a=b; pollux_session=secret;c=d").expect(t, 200, nil)
	f.do("POST", "/native/shannon/api/v1/tasks", `{}`, key1, "Cookie: pollux_session=secret").expect(t, 200, nil)
	f.do("GET", "/native/shannon/api/v1/tasks/t7", "", key1, "Cookie: pollux_session=secret").expect(t, 200, map[string]string{"Cache-Status": "pollux; fwd=uri-miss.*"})
	mu.Lock()
	defer mu.Unlock()
	if got, want := fmt.Sprintf("%q", seen), `["a=b; c=d" "" ""]`; got != want {
		t.Errorf("the upstream saw %s, want %s", got, want)
	}
}

func TestDashboard(t *testing.T) {
	security := map[string]string{
		"Content-Security-Policy": "default-src 'self'; .*", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"X-Frame-Options": "DENY", "Cache-Control": "no-cache",
	}
	open, keyed := newFace(t, nil), newFace(t, withClients)
	open.do("GET", "/", "").expect(t, 302, map[string]string{"Location": "/dashboard"})
	for _, path := range []string{"/dashboard", "/dashboard/", "/dashboard/main.mjs", "/dashboard/theme.css", "/dashboard/icon.svg"} {
		a := open.do("GET", path, "")
		a.expect(t, 200, security)
		tag := a.Header.Get("Etag")
		again := open.do("GET", path, "", "If-None-Match: "+tag)
		again.expect(t, 304, security)
		again.expect(t, 304, map[string]string{"Etag": regexp.QuoteMeta(tag)})
		if a.body == "" || again.body != "" {
			t.Errorf("%s: %d bytes, then %d", path, len(a.body), len(again.body))
		}
	}
	for _, path := range []string{"/dashboard/none.mjs", "/dashboard/../v1/tasks", "/dashboard/%6dain.mjs", "/dashboardx"} {
		open.do("GET", path, "").problem(t, 404, "about:blank")
	}
	for _, c := range []struct {
		path, header string
		code         int
	}{
		{"/dashboard/main.mjs", "Accept: */*", 200},
		{"/dashboard", "Accept: */*", 401},
		{"/dashboard", "X-Pollux-Key: wrong", 401},
		{"/dashboard", "X-Pollux-Key: key-reader", 403},
		{"/dashboard", "X-Pollux-Key: key-all", 200},
		{"/dashboard/", keyed.login("key-all"), 200},
	} {
		a := keyed.do("GET", c.path, "", c.header, "If-None-Match: nothing")
		a.expect(t, c.code, security)
		if !strings.Contains(a.Header.Get("Content-Type"), "text/") || a.body == "" {
			t.Errorf("%s: the page, which is also the form to log in, is missing", c.path)
		}
	}
	prefixed := newFace(t, func(c *Config) { c.PublicURL = "https://pollux.example/p/" })
	prefixed.do("GET", "/", "").expect(t, 302, map[string]string{"Location": "/p/dashboard"})
}
