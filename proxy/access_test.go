package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"pollux/providers/strictyaml"
	"pollux/proxy/access"
	"pollux/proxy/wire"
)

func withClients(c *Config) {
	_, hash := access.NewKey()
	c.Clients = []access.ClientConfig{
		{Name: "other", Key: strictyaml.Secret(hash), Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead}},
		{Name: "all", Key: "key-all", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead, access.ScopeSubmit, access.ScopeFleet, access.ScopePurge}},
		{Name: "reader", Key: "key-reader", Upstreams: []string{"held"}, Scopes: []string{access.ScopeRead}},
	}
}

func TestKeysAndScopes(t *testing.T) {
	f := newFace(t, withClients)
	const held = "/v1/tasks/held/t1"
	all, reader := "X-Pollux-Key: key-all", "X-Pollux-Key: key-reader"
	for _, c := range []struct {
		method, path string
		headers      []string
		code         int
		kind         string
	}{
		{"GET", held, nil, 401, "unauthorized"},
		{"GET", held, []string{"X-Pollux-Key: wrong"}, 401, "unauthorized"},
		{"GET", held, []string{"X-Pollux-Key: wrong", "Authorization: Bearer key-all"}, 401, "unauthorized"},
		{"GET", held, []string{"Authorization: Basic key-all"}, 401, "unauthorized"},
		{"GET", held, []string{all}, 200, ""},
		{"GET", held, []string{reader}, 200, ""},
		{"GET", held, []string{"Authorization: Bearer key-reader"}, 200, ""},
		{"GET", held, []string{"authorization: bearer key-reader"}, 200, ""},
		{"GET", held, []string{"X-API-Key: key-reader"}, 200, ""},
		{"GET", held, []string{"X-API-Key: wrong"}, 401, "unauthorized"},
		{"GET", shannonTask, []string{"X-API-Key: one"}, 401, "unauthorized"},
		{"GET", shannonTask, []string{"Authorization: Bearer key-all"}, 401, "unauthorized"},
		{"GET", shannonTask, []string{all, "X-API-Key: one"}, 200, ""},
		{"GET", shannonTask, []string{reader, "X-API-Key: one"}, 403, "forbidden"},
		{"GET", "/v1/tasks/vessl/abc", []string{all}, 401, "unauthorized"},
		{"GET", "/v1/tasks/nope/abc", []string{all}, 404, "unknown-upstream"},
		{"GET", "/v1/tasks/nope/abc", nil, 401, "unauthorized"},
		{"DELETE", held, []string{reader}, 403, "forbidden"},
		{"DELETE", held, []string{all}, 204, ""},
		{"POST", held + ":cancel", []string{reader}, 403, "forbidden"},
		{"GET", "/metrics", nil, 401, "unauthorized"},
		{"GET", "/metrics", []string{reader}, 403, "forbidden"},
		{"GET", "/metrics", []string{"Authorization: Bearer key-all"}, 200, ""},
		{"GET", "/healthz", nil, 200, ""},
	} {
		a := f.do(c.method, c.path, "", c.headers...)
		a.expect(t, c.code, nil)
		if c.kind != "" {
			a.problem(t, c.code, c.kind)
		}
		if (c.code == 401) != (a.Header.Get("Www-Authenticate") != "") {
			t.Errorf("%s %s: WWW-Authenticate %q with a %d", c.method, c.path, a.Header.Get("Www-Authenticate"), c.code)
		}
	}
}

// TestWhatUpstreamsSee: a credential reaches the upstream that it is for, a
// Pollux key none.
func TestWhatUpstreamsSee(t *testing.T) {
	f := newFace(t, withClients)
	var mu sync.Mutex
	var seen []string
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(r.URL, r.Header))
		mu.Unlock()
		runningShannon(w, r)
	})
	f.do("GET", "/v1/tasks/held/a", "", "X-API-Key: key-all").expect(t, 200, nil)
	f.do("GET", "/v1/tasks/held/b", "", "Authorization: Bearer key-all").expect(t, 200, nil)
	f.do("GET", "/v1/tasks/held/c", "", "X-Pollux-Key: key-all", "X-User-Id: me").expect(t, 200, nil)
	f.do("GET", "/v1/tasks/shannon/d", "", "X-Pollux-Key: key-all", "X-API-Key: mine", "X-Other: x", "Cookie: a=b").expect(t, 200, nil)
	f.do("POST", "/v1/tasks/batch", `{"tasks":["shannon/e"]}`, "Authorization: Bearer key-all").expect(t, 200, nil)
	f.do("GET", "/v1/tasks/held/a", "", "X-Tenant-Id: key-all").expect(t, 200, nil) // any of the provider's headers
	f.do("GET", "/v1/tasks/held/a", "", "X-Tenant-Id: somebody").expect(t, 401, nil)
	all := strings.Join(seen, "\n")
	if strings.Contains(all, "key-all") || strings.Contains(all, "X-Other") || strings.Contains(all, "a=b") || strings.Contains(all, "me]") {
		t.Errorf("the upstream saw what it must not:\n%s", all)
	}
	if n := strings.Count(all, "X-Api-Key:[held-secret]"); n != 3 || strings.Count(all, "X-Api-Key:[mine]") != 1 || len(seen) != 5 {
		t.Errorf("the upstream did not see the credentials:\n%s", all)
	}
}

func TestIdentityInQuery(t *testing.T) {
	f := newFace(t, nil)
	var query string
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"interaction_id":%q,"state":"ASYNC_PROCESSING"}`, lastSegment(r))
	})
	f.do("GET", "/v1/tasks/gumloop/abc?user_id=u", "").problem(t, 401, "unauthorized")
	f.do("GET", "/v1/tasks/gumloop/abc?user_id=u&api_key=", "").problem(t, 401, "unauthorized")
	f.do("GET", "/v1/tasks/gumloop/abc?api_key=s%2Fecret&user_id=u", "").expect(t, 200, nil)
	if !strings.Contains(query, "api_key=s%2Fecret") || !strings.Contains(query, "user_id=u") {
		t.Errorf("the upstream saw %q", query)
	}
	f.do("GET", "/v1/tasks/gumloop/abc?user_id=u&api_key=s%2Fecret", "").expect(t, 200, map[string]string{"Cache-Status": "pollux; hit.*"})
	f.do("GET", "/v1/tasks/gumloop/abc?user_id=u&api_key=other", "").expect(t, 200, map[string]string{"Cache-Status": "pollux; fwd=uri-miss.*"})
	if log := f.log.String(); strings.Contains(log, "ecret") {
		t.Errorf("the log holds a key:\n%s", log)
	}
}

func TestValidate(t *testing.T) {
	bad := Config{
		Listen: "0.0.0.0:99999", PublicURL: "https://user:secret@x/?q",
		Clients: nil,
		Limits:  wire.Limits{RequestHeaderBytes: 1},
	}
	var keys []string
	for _, fault := range bad.Validate(nil) {
		keys = append(keys, fault.Key)
		if strings.Contains(fault.Error(), "secret") {
			t.Errorf("%v quotes the configuration", fault)
		}
	}
	want := "listen listen public_url limits.connections limits.connections_per_ip limits.misses_per_partition.burst limits.batch limits.streams " +
		"limits.streams_per_partition limits.waits_per_partition limits.watched_tasks limits.misses_per_partition.per_second limits.wait limits.request_header_bytes " +
		"webhooks.timeout webhooks.give_up_after"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	clients := DefaultConfig()
	clients.Listen = "0.0.0.0:8080"
	clients.Clients = []access.ClientConfig{
		{Name: "a", Key: "secret-1", Upstreams: []string{"shannon", "nope"}, Scopes: []string{"read", "write"}},
		{Name: "a", Key: "secret-1"},
		{Key: "sha256:secret"},
	}
	var text []string
	for _, err := range clients.Validate([]string{"shannon"}) {
		text = append(text, err.Error())
	}
	joined := strings.Join(text, "\n")
	for _, key := range []string{"clients[0].upstreams[1]", "clients[0].scopes[1]", "clients[1].name", "clients[1].key", "clients[1].scopes", "clients[2].name", "clients[2].key"} {
		if !strings.Contains(joined, key+": ") {
			t.Errorf("no fault for %s in\n%s", key, joined)
		}
	}
	if strings.Contains(joined, "secret") || len(text) != 8 {
		t.Errorf("got %d faults:\n%s", len(text), joined)
	}

	for listen, ok := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "127.9.9.9:0": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false, "127.0.0.1:http": false,
	} {
		c := DefaultConfig()
		c.Listen = listen
		if faults := c.Validate(nil); (len(faults) == 0) != ok {
			t.Errorf("listen %q: got %v", listen, faults)
		}
	}
	open := DefaultConfig()
	open.Listen, open.AllowAnonymous = ":8080", true
	if faults := open.Validate(nil); len(faults) > 0 {
		t.Errorf("allow_anonymous: got %v", faults)
	}
	if s := fmt.Sprintf("%v %+v %s", clients.Clients[0], clients.Clients[0], clients.Clients[0]); strings.Contains(s, "secret") {
		t.Errorf("a client prints as %s", s)
	}
}
