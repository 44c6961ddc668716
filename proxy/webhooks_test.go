package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/providers/strictyaml"
	"pollux/proxy/access"
)

// hooked is a face with webhooks, and a receiver.
type hooked struct {
	*face
	url string

	mu  sync.Mutex
	got []string // bodies
	in  chan struct{}
}

func newHooked(t *testing.T, change func(*Config)) *hooked {
	t.Helper()
	allowed := func(c *Config) {
		c.Webhooks.AllowNetworks = []string{"127.0.0.0/8"}
		if change != nil {
			change(c)
		}
	}
	h := &hooked{face: newFace(t, allowed), in: make(chan struct{}, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		if err := r.Write(&body); err != nil {
			t.Error(err)
		}
		_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
		h.mu.Lock()
		h.got = append(h.got, text)
		h.mu.Unlock()
		h.in <- struct{}{}
	}))
	t.Cleanup(server.Close)
	h.url = server.URL + "/hook?token=hidden"
	must(t, h.server.OpenWebhooks(t.Context(), new(cache.MemoryOutbox), prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.server.RunWebhooks(ctx) })
	running.Go(func() { _ = h.poller.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return h
}

func (h *hooked) register(tasks string, headers ...string) *answer {
	h.t.Helper()
	return h.do("POST", "/v1/webhooks", fmt.Sprintf(`{"tasks":%s,"url":%q}`, tasks, h.url), headers...)
}

// await waits for one message and returns its body.
func (h *hooked) await() string {
	h.t.Helper()
	select {
	case <-h.in:
	case <-time.After(10 * time.Second):
		h.t.Fatal("nothing was delivered")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[len(h.got)-1]
}

// awaitOf waits for the message about the task with this id and returns its body.
func (h *hooked) awaitOf(id string) string {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		h.mu.Lock()
		i := slices.IndexFunc(h.got, func(body string) bool { return gjson.Get(body, "data.id").Str == id })
		var body string
		if i >= 0 {
			body = h.got[i]
		}
		h.mu.Unlock()
		if i >= 0 {
			return body
		}
	}
	h.t.Errorf("nothing was delivered about %s", id)
	return ""
}

const alice, bob = "Authorization: Bearer alice", "Authorization: Bearer bob"

func TestWebhookLife(t *testing.T) {
	h := newHooked(t, nil)
	made := h.register(`["vessl/0123456789abcdef01234567","shannon/task_1"]`, alice)
	if made.StatusCode != 400 {
		t.Fatalf("two upstreams and one credential: %d %s", made.StatusCode, made.body)
	}
	made = h.register(`["shannon/task_1"]`, alice)
	id, secret := gjson.Get(made.body, "id").Str, gjson.Get(made.body, "secret").Str
	if made.StatusCode != 201 || !strings.HasPrefix(secret, "whsec_") || made.Header.Get("Location") != "/v1/webhooks/"+id ||
		gjson.Get(made.body, "tasks.0.task").Str != "shannon/task_1" {
		t.Fatalf("register: %d %s", made.StatusCode, made.body)
	}
	if body := h.await(); gjson.Get(body, "type").Str != "task.completed" || gjson.Get(body, "data.output.text").Str != "done" ||
		gjson.Get(body, "data.usage.input_tokens").Raw != "12345678901234567890" {
		t.Errorf("delivered %s", body)
	}
	seen := h.do("GET", "/v1/webhooks/"+id, "", alice)
	for strings.Contains(seen.body, `"pending"`) { // between the receiver's answer and the note of it
		seen = h.do("GET", "/v1/webhooks/"+id, "", alice)
	}
	if d := gjson.Get(seen.body, "deliveries.0"); seen.StatusCode != 200 || d.Get("state").Str != "delivered" || d.Get("attempts.0.status_code").Int() != 200 ||
		gjson.Get(seen.body, "tasks.0.state").Str != "done" || strings.Contains(seen.body, "hidden") || strings.Contains(seen.body, secret) {
		t.Errorf("view: %d %s", seen.StatusCode, seen.body)
	}
	if again := h.do("POST", "/v1/webhooks/"+id+":redeliver", "", alice); again.StatusCode != 202 {
		t.Errorf("redeliver: %d %s", again.StatusCode, again.body)
	}
	h.await()
	rotated := h.do("POST", "/v1/webhooks/"+id+":rotate", "{}", alice)
	if fresh := gjson.Get(rotated.body, "secret").Str; rotated.StatusCode != 200 || fresh == secret || !strings.HasPrefix(fresh, "whsec_") {
		t.Errorf("rotate: %d %s", rotated.StatusCode, rotated.body)
	}
	if gone := h.do("DELETE", "/v1/webhooks/"+id, "", alice); gone.StatusCode != 204 {
		t.Errorf("delete: %d %s", gone.StatusCode, gone.body)
	}
	if gone := h.do("GET", "/v1/webhooks/"+id, "", alice); gone.StatusCode != 404 {
		t.Errorf("after its end: %d %s", gone.StatusCode, gone.body)
	}
	for _, word := range []string{"alice", "hidden", secret} {
		if strings.Contains(h.log.String(), word) {
			t.Errorf("the log holds %s", word)
		}
	}
}

// TestWebhookOfAnother: what belongs to somebody else looks like what there is
// not, whatever is asked of it.
func TestWebhookOfAnother(t *testing.T) {
	h := newHooked(t, nil)
	h.answer(runningShannon)
	id := gjson.Get(h.register(`["shannon/task_1"]`, alice).body, "id").Str
	for _, c := range []struct{ method, path string }{
		{"GET", ""}, {"DELETE", ""}, {"POST", ":redeliver"}, {"POST", ":rotate"},
	} {
		foreign := h.do(c.method, "/v1/webhooks/"+id+c.path, "", bob)
		unknown := h.do(c.method, "/v1/webhooks/wh_AAAAAAAAAAAAAAAAAAAAAA"+c.path, "", bob)
		if foreign.StatusCode != 404 || foreign.body != unknown.body || len(foreign.Header) != len(unknown.Header) {
			t.Errorf("%s %s: another's %d %s, an unknown one %d %s", c.method, c.path, foreign.StatusCode, foreign.body, unknown.StatusCode, unknown.body)
		}
	}
	if own := h.do("GET", "/v1/webhooks/"+id, "", alice); own.StatusCode != 200 {
		t.Errorf("its owner: %d %s", own.StatusCode, own.body)
	}
	if operator := h.do("GET", "/v1/webhooks/"+id, ""); operator.StatusCode != 200 {
		t.Errorf("without a credential, on loopback: %d %s", operator.StatusCode, operator.body)
	}
}

// TestWebhookOfTwoCredentials: each of them sees what belongs to it.
func TestWebhookOfTwoCredentials(t *testing.T) {
	h := newHooked(t, nil)
	h.answer(runningShannon)
	made := h.do("POST", "/v1/webhooks", fmt.Sprintf(`{"tasks":["shannon/task_1",{"upstream":"gumloop","id":["abc"],"params":{"user_id":"u"}}],"url":%q,
		"on":["requires_action"],"credentials":{"shannon":{"authorization":"Bearer alice"},"gumloop":{"api_key":"key b"}}}`, h.url))
	id := gjson.Get(made.body, "id").Str
	for _, c := range []struct{ query, header, want string }{
		{"", alice, `["shannon/task_1"]`},
		{"?api_key=key+b", "Accept: */*", `["gumloop/abc?user_id=u"]`},
	} {
		seen := h.do("GET", "/v1/webhooks/"+id+c.query, "", c.header)
		if got := gjson.Get(seen.body, "tasks.#.task").Raw; seen.StatusCode != 200 || got != c.want {
			t.Errorf("%s%s sees %d %s, want %s", c.query, c.header, seen.StatusCode, seen.body, c.want)
		}
	}
}

func TestWebhookRefusals(t *testing.T) {
	h := newHooked(t, nil)
	ok := `"tasks":["shannon/task_1"],`
	for name, c := range map[string]struct {
		body string
		want int
		says string
	}{
		"no tasks":            {`{"tasks":[],"url":"https://8.8.8.8/"}`, 400, "tasks wants"},
		"tasks of null":       {`{"tasks":null,"url":"https://8.8.8.8/"}`, 400, "tasks wants"},
		"bad reference":       {`{"tasks":["shannon/task_1","shannon/a/b"],"url":"https://8.8.8.8/"}`, 400, "tasks[1]: "},
		"unknown upstream":    {`{"tasks":["nobody/x"],"url":"https://8.8.8.8/"}`, 404, "tasks[0]: "},
		"no credential":       {`{"tasks":["shannon/task_1","orq/a/01K6"],"url":"https://8.8.8.8/","credentials":{"shannon":{"Authorization":"x"}}}`, 401, "tasks[1]: "},
		"no url":              {`{` + ok + `"on":["terminal"]}`, 400, "url"},
		"url of a number":     {`{` + ok + `"url":1}`, 400, "url"},
		"a private address":   {`{` + ok + `"url":"https://10.0.0.1/"}`, 400, "not public"},
		"plain http":          {`{` + ok + `"url":"http://8.8.8.8/"}`, 400, "http only inside"},
		"a user":              {`{` + ok + `"url":"https://u:p@8.8.8.8/"}`, 400, "without user"},
		"unknown event":       {`{` + ok + `"url":"https://8.8.8.8/","on":["completed"]}`, 400, "on wants"},
		"no event":            {`{` + ok + `"url":"https://8.8.8.8/","on":[]}`, 400, "on wants"},
		"an event twice":      {`{` + ok + `"url":"https://8.8.8.8/","on":["terminal","terminal"]}`, 400, "on wants"},
		"unknown key":         {`{` + ok + `"url":"https://8.8.8.8/","secret":"x"}`, 400, "unknown key"},
		"not JSON":            {`{`, 400, "not JSON"},
		"foreign credentials": {`{` + ok + `"url":"https://8.8.8.8/","credentials":{"held":{"Authorization":"x"}}}`, 400, "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.do("POST", "/v1/webhooks", c.body, alice)
			if a.StatusCode != c.want || !strings.Contains(gjson.Get(a.body, "detail").Str, c.says) {
				t.Errorf("%d %s, want %d that says %q", a.StatusCode, a.body, c.want, c.says)
			}
		})
	}
	if n := h.poller.Watched(); n != 0 {
		t.Errorf("%d tasks are watched, and nothing was registered", n)
	}
	if a := h.do("DELETE", "/v1/webhooks", "", alice); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("DELETE of all: %d, Allow %q", a.StatusCode, a.Header.Get("Allow"))
	}
}

func TestWebhookScopes(t *testing.T) {
	h := newHooked(t, func(c *Config) {
		c.Clients = []access.ClientConfig{
			{Name: "one", Key: "key-one", Upstreams: []string{"*"}, Scopes: []string{access.ScopeWebhooks}},
			{Name: "two", Key: "key-two", Upstreams: []string{"orq"}, Scopes: []string{access.ScopeWebhooks}},
			{Name: "reader", Key: "key-reader", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead}},
			{Name: "operator", Key: "key-operator", Upstreams: []string{"*"}, Scopes: []string{access.ScopeFleet, access.ScopeWebhooks}},
		}
	})
	h.answer(runningShannon)
	if a := h.register(`["held/task_1"]`, "Authorization: Bearer key-reader"); a.StatusCode != 403 {
		t.Errorf("without the scope: %d %s", a.StatusCode, a.body)
	}
	if a := h.register(`["held/task_1"]`, "Authorization: Bearer key-two"); a.StatusCode != 403 {
		t.Errorf("at another upstream: %d %s", a.StatusCode, a.body)
	}
	if a := h.register(`["held/task_1"]`); a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a key: %d %s", a.StatusCode, a.body)
	}
	made := h.register(`["shannon/task_1"]`, "X-Pollux-Key: key-one", alice)
	if made.StatusCode != 201 {
		t.Fatalf("register: %d %s", made.StatusCode, made.body)
	}
	path := "/v1/webhooks/" + gjson.Get(made.body, "id").Str
	for key, want := range map[string]int{"one": 200, "two": 404, "operator": 200, "reader": 403} {
		if a := h.do("GET", path, "", "X-Pollux-Key: key-"+key); a.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", key, a.StatusCode, a.body, want)
		}
	}
}

// TestWebhookList: everybody sees their own, page by page, the newest first.
func TestWebhookList(t *testing.T) {
	h := newHooked(t, nil)
	var made []string
	for range 5 {
		made = append(made, gjson.Get(h.register(`["shannon/task_1"]`, alice).body, "id").Str)
	}
	h.register(`["shannon/task_1"]`, bob)
	walk := func(headers ...string) (ids []string) {
		for cursor := ""; ; {
			a := h.do("GET", "/v1/webhooks?limit=2&cursor="+cursor, "", headers...)
			if a.StatusCode != 200 || strings.Contains(a.body, "hidden") || len(ids) > 10 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			for _, id := range gjson.Get(a.body, "data.#.id").Array() {
				ids = append(ids, id.Str)
			}
			if cursor = gjson.Get(a.body, "next_cursor").Str; cursor == "" {
				return ids
			}
		}
	}
	slices.Reverse(made)
	if got := walk(alice); !slices.Equal(got, made) {
		t.Errorf("got %v, want %v", got, made)
	}
	if got := walk(bob); len(got) != 1 {
		t.Errorf("another sees %d", len(got))
	}
	if got := walk(); len(got) != 6 {
		t.Errorf("who sits at this machine sees %d, want all", len(got))
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=%2B5", "?cursor=x", "?x=1"} {
		h.do("GET", "/v1/webhooks"+query, "", alice).problem(t, 400, "invalid-request")
	}
}

// TestWebhookOwner: a client that shares an upstream sees what others follow there,
// and may neither end it nor take its secret. A new key changes nothing.
func TestWebhookOwner(t *testing.T) {
	var clients []access.ClientConfig
	for _, name := range []string{"maker", "other", "purger"} {
		scopes := []string{access.ScopeRead, access.ScopeWebhooks}
		if name == "purger" {
			scopes = append(scopes, access.ScopePurge)
		}
		clients = append(clients, access.ClientConfig{Name: name, Key: strictyaml.Secret("key-" + name), Upstreams: []string{"held"}, Scopes: scopes})
	}
	var cfg Config
	h := newHooked(t, func(c *Config) { c.Clients = clients; cfg = *c })
	id := gjson.Get(h.register(`["held/task_1"]`, "X-Pollux-Key: key-maker").body, "id").Str
	path := "/v1/webhooks/" + id
	h.do("GET", path, "", "X-Pollux-Key: key-other").expect(t, 200, nil)
	h.do("POST", path+":rotate", "", "X-Pollux-Key: key-other").problem(t, 403, "forbidden")
	h.do("DELETE", path, "", "X-Pollux-Key: key-other").problem(t, 403, "forbidden")
	cfg.Clients = slices.Clone(clients)
	cfg.Clients[0].Key = "key-new"
	must(t, h.reload(cfg))
	h.do("POST", path+":rotate", "", "X-Pollux-Key: key-new").expect(t, 200, nil)
	h.do("DELETE", path, "", "X-Pollux-Key: key-purger").expect(t, 204, nil)
}
