package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
)

// inTime is ten times what a reload may take to end something.
const inTime = 10 * time.Second

func oneClient(c *Config) {
	c.Clients = []access.ClientConfig{
		{Name: "ci", Key: "key-of-ci", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead, access.ScopeSubmit, access.ScopeWebhooks}},
		{Name: "other", Key: "key-of-other", Upstreams: []string{"*"}, Scopes: []string{access.ScopeRead, access.ScopeWebhooks}},
		{Name: "admin", Key: "key-of-admin", Upstreams: []string{"*"}, Scopes: []string{access.ScopePurge}},
	}
}

const (
	ciKey    = "X-Pollux-Key: key-of-ci"
	otherKey = "X-Pollux-Key: key-of-other"
	adminKey = "X-Pollux-Key: key-of-admin"
)

// revocations are what a reload may do to something that ci began at vessl.
var revocations = []struct {
	name      string
	clients   func(*Config)
	upstreams func(map[string]upstream.Config)
	ends      string // with that problem; "" goes on
}{
	{"nothing", nil, nil, ""},
	{"a limit of the upstream", nil, func(all map[string]upstream.Config) {
		u := all["vessl"]
		u.MaxInFlight = 3
		all["vessl"] = u
	}, ""},
	{"a new key under the same name", func(c *Config) { c.Clients[0].Key = "key-of-ci-new" }, nil, ""},
	{"the key is taken out", func(c *Config) { c.Clients = c.Clients[1:] }, nil, "unauthorized"},
	{"the key under another name", func(c *Config) { c.Clients[0].Name = "cd" }, nil, "unauthorized"},
	{"the scope is taken away", func(c *Config) { c.Clients[0].Scopes = []string{access.ScopeSubmit} }, nil, "forbidden"},
	{"the upstream is taken away", func(c *Config) { c.Clients[0].Upstreams = []string{"orq"} }, nil, "forbidden"},
	{"the upstream is moved", nil, func(all map[string]upstream.Config) {
		u := all["vessl"]
		u.BaseURL += "/elsewhere"
		all["vessl"] = u
	}, "unauthorized"},
	{"the credential is ours now", nil, func(all map[string]upstream.Config) {
		u := all["vessl"]
		u.Credential = upstream.CredentialConfig{Value: "ours"}
		all["vessl"] = u
	}, "unauthorized"},
	{"the upstream is removed", nil, func(all map[string]upstream.Config) { delete(all, "vessl") }, "unauthorized"},
}

// revoke reloads f with what one of them changes.
func (f *face) revoke(clients func(*Config), upstreamsOf func(map[string]upstream.Config)) {
	f.t.Helper()
	cfg, all := DefaultConfig(), upstreams(f.base)
	cfg.Webhooks.AllowNetworks = []string{"127.0.0.0/8"}
	oneClient(&cfg)
	if clients != nil {
		clients(&cfg)
	}
	if upstreamsOf != nil {
		upstreamsOf(all)
	}
	f.replace(all, cfg)
}

func runningVessl(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"status":"in_progress"}`)
}

// TestReloadEndsFollowers: streams and waits end with what they rest on, with the
// problem that says so, and go on where that is still there.
func TestReloadEndsFollowers(t *testing.T) {
	for _, c := range revocations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFace(t, oneClient)
			f.answer(runningVessl)
			stream := f.open("GET", vesslTask, "", "Accept: text/event-stream")
			rows := f.open("GET", "/v1/tasks?upstream=vessl", "", "Accept: text/event-stream")
			var wait, batch *answer
			var waits sync.WaitGroup
			waits.Go(func() { wait = f.do("GET", vesslTask+"?wait=3", "", ciKey, vesslKey) })
			waits.Go(func() {
				batch = f.do("POST", "/v1/tasks/batch", `{"tasks":["vessl/job1"],"wait":3}`, ciKey, vesslKey)
			})
			eventually(t, "the waits", func() bool { return f.server.waits.Inside() == 2 })
			start := time.Now()
			f.revoke(c.clients, c.upstreams)
			waits.Wait()
			took := time.Since(start)
			problemOf := func(a *answer) string {
				kind := gjson.Get(a.body, "type").Str + gjson.Get(a.body, "results.0.problem.type").Str
				return strings.TrimPrefix(kind, "/problems/")
			}
			if got := problemOf(wait); got != c.ends {
				t.Errorf("the wait after %v: %d %s", took, wait.StatusCode, wait.body)
			}
			if got := problemOf(batch); got != c.ends {
				t.Errorf("the batch after %v: %d %s", took, batch.StatusCode, batch.body)
			}
			if c.ends == "" {
				select {
				case <-stream.ended:
					t.Errorf("the stream ended: %s", stream.text())
				case <-rows.ended:
					t.Errorf("the list ended: %s", rows.text())
				default:
				}
				return
			}
			for _, s := range []*openStream{stream, rows} {
				select {
				case <-s.ended:
				case <-time.After(inTime):
					t.Fatalf("a stream goes on: %s", s.text())
				}
			}
			if !strings.Contains(stream.text(), "event: problem\ndata: {\"type\":\"/problems/"+c.ends+`"`) {
				t.Errorf("the stream ends with %s", stream.text())
			}
			if c.clients != nil && c.name != "the upstream is taken away" && !strings.Contains(rows.text(), "/problems/"+c.ends) {
				t.Errorf("the list ends with %s", rows.text())
			}
		})
	}
}

// openStream is an answer that is read while it comes.
type openStream struct {
	lines lockedBuffer
	ended chan struct{}
}

func (s *openStream) text() string { return s.lines.String() }

// open sends ci's request and returns once the first line of the answer is there.
func (f *face) open(method, path, body string, headers ...string) *openStream {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.address+path, strings.NewReader(body))
	must(f.t, err)
	for _, h := range append(headers, ciKey, vesslKey) {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(request)
	must(f.t, err)
	f.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 {
		f.t.Fatalf("%s %s: %d", method, path, res.StatusCode)
	}
	s := &openStream{ended: make(chan struct{})}
	first := make(chan struct{})
	go func() {
		defer close(s.ended)
		r := bufio.NewReader(res.Body)
		for n := 0; ; n++ {
			line, err := r.ReadString('\n')
			io.WriteString(&s.lines, line)
			if n == 0 {
				close(first)
			}
			if err != nil {
				return
			}
		}
	}()
	<-first
	return s
}

// TestReloadEndsForwardedStreams: an event stream that is passed on is cut.
func TestReloadEndsForwardedStreams(t *testing.T) {
	for _, c := range revocations {
		if c.ends == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFace(t, oneClient)
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
			s := f.open("POST", "/native/vessl/stream", "")
			if c.name == "the scope is taken away" {
				c.clients = func(c *Config) { c.Clients[0].Scopes = []string{access.ScopeRead} }
			}
			f.revoke(c.clients, c.upstreams)
			select {
			case <-s.ended:
			case <-time.After(inTime):
				t.Error("it goes on")
			}
		})
	}
}

// TestReloadEndsWebhooks: what a webhook rests on is gone: it is done with the
// problem, is never polled for or sent again, not even on demand, and can be read
// and ended by who registered it, should that come back, and by the scope purge.
func TestReloadEndsWebhooks(t *testing.T) {
	for _, c := range revocations {
		ends := c.ends == "unauthorized"
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHooked(t, oneClient)
			h.answer(runningVessl)
			id := gjson.Get(h.register(`["vessl/job1"]`, ciKey, vesslKey).body, "id").Str
			path := "/v1/webhooks/" + id
			eventually(t, "the first poll", func() bool { return strings.Contains(h.do("GET", path, "", ciKey, vesslKey).body, `"in_progress"`) })
			h.revoke(c.clients, c.upstreams)
			asked := h.polls.Load()
			h.answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"status":"completed","status_code":200,"raw_output":"x","output":{"ok":true}}`)
			})
			if !ends {
				if body := h.await(); gjson.Get(body, "type").Str != "task.completed" {
					t.Errorf("delivered %s", body)
				}
				return
			}
			seen := h.do("GET", path, "", adminKey)
			if one := gjson.Get(seen.body, "tasks.0"); seen.StatusCode != 200 || one.Get("state").Str != "done" || one.Get("problem").Str != "unauthorized" ||
				gjson.Get(seen.body, "state").Str != "ended" {
				t.Errorf("to purge: %d %s", seen.StatusCode, seen.body)
			}
			time.Sleep(3 * time.Second) // two of the provider's intervals
			if n := h.polls.Load() - asked; n > 0 {
				t.Errorf("%d polls after the reload", n)
			}
			if c.clients != nil {
				if gone := h.do("GET", path, "", ciKey); gone.StatusCode != 401 && gone.StatusCode != 404 {
					t.Errorf("while its client is gone: %d %s", gone.StatusCode, gone.body)
				}
				h.revoke(nil, nil)
			}
			if own := h.do("GET", path, "", ciKey); own.StatusCode != 200 || gjson.Get(own.body, "tasks.0.problem").Str != "unauthorized" {
				t.Errorf("to its client: %d %s", own.StatusCode, own.body)
			}
			if again := h.do("POST", path+":redeliver", "", ciKey); again.StatusCode != 409 {
				t.Errorf("redeliver: %d %s", again.StatusCode, again.body)
			}
			if end := h.do("DELETE", path, "", ciKey); end.StatusCode != 204 {
				t.Errorf("end: %d %s", end.StatusCode, end.body)
			}
			select {
			case <-h.in:
				t.Errorf("sent: %s", h.got)
			default:
			}
		})
	}
}

// TestReloadEndsWaitingDeliveries: what waits for its next attempt is not sent
// after its client was taken out.
func TestReloadEndsWaitingDeliveries(t *testing.T) {
	h := newHooked(t, oneClient)
	h.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"completed","status_code":200,"raw_output":"x","output":{"ok":true}}`)
	})
	h.url = "http://127.0.0.1:1/nobody"
	path := "/v1/webhooks/" + gjson.Get(h.register(`["vessl/job1"]`, ciKey, vesslKey).body, "id").Str
	eventually(t, "a failed attempt", func() bool {
		return gjson.Get(h.do("GET", path, "", ciKey).body, "deliveries.0.attempts.#").Int() > 0
	})
	h.revoke(func(c *Config) { c.Clients = c.Clients[1:] }, nil)
	seen := h.do("GET", path, "", adminKey).body
	if d := gjson.Get(seen, "deliveries.0"); d.Get("state").Str != "gave_up" || d.Get("next_attempt_at").Value() != nil || gjson.Get(seen, "tasks.0.problem").Str != "unauthorized" {
		t.Errorf("it is %s", seen)
	}
}

// TestWhoManagesWebhooks: those who share a partition see a webhook, and only who
// registered it, or the scope purge, may change or end it; an upstream that is
// gone takes nothing from that.
func TestWhoManagesWebhooks(t *testing.T) {
	h := newHooked(t, oneClient)
	h.answer(runningVessl)
	of := func(task string, headers ...string) string {
		made := h.register(`["`+task+`"]`, headers...)
		if made.StatusCode != 201 {
			t.Fatalf("register: %d %s", made.StatusCode, made.body)
		}
		return "/v1/webhooks/" + gjson.Get(made.body, "id").Str
	}
	shared, held := of("vessl/job1", ciKey, vesslKey), of("held/task_1", ciKey)
	for _, path := range []string{shared, held} {
		for _, c := range []struct {
			key                 string
			get, rotate, remove int
		}{
			{otherKey, 200, 403, 403}, {ciKey, 200, 200, 0}, {adminKey, 200, 200, 204}, {ciKey, 404, 404, 404},
		} {
			for _, one := range []struct {
				method, path string
				want         int
			}{{"GET", path, c.get}, {"POST", path + ":rotate", c.rotate}, {"DELETE", path, c.remove}} {
				if one.want == 0 {
					continue
				}
				if got := h.do(one.method, one.path, "", c.key, vesslKey); got.StatusCode != one.want {
					t.Errorf("%s %s with %s: %d %s, want %d", one.method, one.path, c.key, got.StatusCode, got.body, one.want)
				}
			}
		}
	}
}

// TestRegistrantWithoutClients: while there are no clients it is the credential
// that registered, also once its upstream is gone.
func TestRegistrantWithoutClients(t *testing.T) {
	h := newHooked(t, nil)
	h.answer(runningVessl)
	path := "/v1/webhooks/" + gjson.Get(h.register(`["vessl/job1"]`, alice).body, "id").Str
	all, cfg := upstreams(h.base), DefaultConfig()
	delete(all, "vessl")
	h.replace(all, cfg)
	if foreign := h.do("DELETE", path, "", bob); foreign.StatusCode != 404 {
		t.Errorf("another's: %d %s", foreign.StatusCode, foreign.body)
	}
	if own := h.do("GET", path, "", alice); own.StatusCode != 200 || gjson.Get(own.body, "tasks.0.problem").Str != "unauthorized" {
		t.Errorf("its own: %d %s", own.StatusCode, own.body)
	}
	if end := h.do("DELETE", path, "", alice); end.StatusCode != 204 {
		t.Errorf("end: %d %s", end.StatusCode, end.body)
	}
}
