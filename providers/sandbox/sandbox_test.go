package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/normalize"
	"pollux/providers"
	"pollux/providers/template"
)

// clock is a time that tests move by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func newClock() *clock                { return &clock{time.Unix(1_780_000_000, 0)} }

func newServer(t *testing.T, set *providers.Set, opts Options, faults ...Fault) *Server {
	t.Helper()
	s, err := New(set, opts)
	for _, f := range faults {
		err = errors.Join(err, s.AddFault(f))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caller speaks to a simulated provider the way Pollux does.
type caller struct {
	t          *testing.T
	s          *Server
	p          *providers.Provider
	credential string
}

func (c caller) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, "/"+c.p.Name+path, strings.NewReader(body))
	for _, f := range c.p.HeldCredential(c.credential).Headers {
		r.Header.Set(f.Name, f.Value)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.s.ServeHTTP(w, r)
	return w
}

var braces = regexp.MustCompile(`\{[a-z_]+\}`)

// create sends the provider's first creating request and returns the new id.
func (c caller) create(lifecycle string) string {
	c.t.Helper()
	if len(c.p.Creates) == 0 { // its tasks begin in ways that the file does not know
		params := map[string]string{}
		for i, param := range c.p.Params {
			if param.Name != idParam(c.p) {
				params[param.Name] = c.reference("").Values[i]
			}
		}
		id, err := c.s.Create(c.p.Name, params, c.credential, lifecycle)
		if err != nil {
			c.t.Fatal(err)
		}
		return id
	}
	make := &c.p.Creates[0]
	method, path, _ := strings.Cut(make.Request.String(), " ")
	path = braces.ReplaceAllStringFunc(path, func(name string) string {
		for _, param := range c.p.Params {
			if name == "{"+param.Name+"}" {
				return sampleOf(param)
			}
		}
		return sampleValue
	})
	w := c.send(method, path, `{"user_id": "u", "message": "hi"}`, LifecycleHeader, lifecycle)
	id := providers.CreatedID(make, w.Header(), w.Body.Bytes())
	if w.Code/100 != 2 || id == "" {
		c.t.Fatalf("create: %d %s", w.Code, w.Body)
	}
	return id
}

func (c caller) reference(id string) providers.Reference {
	ref := providers.Reference{Values: make([]string, len(c.p.Params))}
	for i, param := range c.p.Params {
		switch {
		case param.Name == idParam(c.p):
			ref.Values[i] = id
		case !param.Optional || slices.ContainsFunc(c.p.OneOf, func(group []string) bool { return group[0] == param.Name }):
			ref.Values[i] = sampleOf(param)
		}
	}
	return ref
}

// sampleOf is a value that the parameter may have.
func sampleOf(p template.Param) string {
	for _, value := range []string{sampleValue, "1", "query"} {
		if fits(p, value) {
			return value
		}
	}
	panic("no sample fits " + p.Name)
}

// poll sends the request that Pollux would and returns its judgement.
func (c caller) poll(id string) (providers.Verdict, *httptest.ResponseRecorder) {
	c.t.Helper()
	base, _ := url.Parse(BaseURL("sandbox.test", c.p.Name))
	r, err := c.p.PollRequest(context.Background(), base, c.reference(id), c.p.HeldCredential(c.credential))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do(r, id)
}

func (c caller) do(r *http.Request, id string) (providers.Verdict, *httptest.ResponseRecorder) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	c.s.ServeHTTP(w, r)
	return c.p.Judge(c.reference(id), w.Code, w.Header(), w.Body.Bytes(), c.s.opts.Now()), w
}

// cancel sends the request that Pollux would.
func (c caller) cancel(id string) *httptest.ResponseRecorder {
	c.t.Helper()
	base, _ := url.Parse(BaseURL("sandbox.test", c.p.Name))
	r, err := c.p.CancelRequest(context.Background(), base, c.reference(id), c.p.HeldCredential(c.credential))
	if err != nil {
		c.t.Fatal(err)
	}
	_, w := c.do(r, id)
	return w
}

// status polls and expects an answer.
func (c caller) status(id string) normalize.Status {
	c.t.Helper()
	v, w := c.poll(id)
	if v.Kind != providers.Answered {
		c.t.Fatalf("poll %s: %d %s (%s)", id, w.Code, w.Body, v.Reason)
	}
	return v.Task.Status
}

func TestLifecycles(t *testing.T) {
	clock := newClock()
	s := newServer(t, builtin(t), Options{Seed: 7, Now: clock.now})
	for _, p := range simulated(t) {
		for _, name := range slices.Sorted(maps.Keys(p.Simulation.Lifecycles)) {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				c := caller{t, s, p, "key"}
				id := c.create(name)
				legs := p.Simulation.Lifecycles[name].Path
				for i, stay := range s.upstreams[p.Name].tasks[id].course {
					want := p.Simulation.States[legs[i].State].Status
					clock.at = stay.from
					if got := c.status(id); got != want {
						t.Errorf("in %s: status %s, want %s", legs[i].State, got, want)
					}
					if i == 0 {
						continue
					}
					before := p.Simulation.States[legs[i-1].State].Status
					clock.at = stay.from.Add(-1)
					if got := c.status(id); got != before {
						t.Errorf("before %s: status %s, want %s", legs[i].State, got, before)
					}
				}
			})
		}
	}
}

// The first terminal answer of shannon is completed a little later.
func TestSettling(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get("shannon"), "key"}
	id := c.create("over_budget")
	seen := map[normalize.Status]bool{}
	for !seen[normalize.Completed] {
		clock.pass(100 * time.Millisecond)
		seen[c.status(id)] = true
	}
	if v, _ := c.poll(id); v.Settled || v.Task.Model != nil {
		t.Error("the first terminal answer is settled")
	}
	clock.pass(3 * time.Second)
	if v, _ := c.poll(id); !v.Settled || v.Task.Model == nil || v.Task.Status != normalize.Failed {
		t.Errorf("3s later: settled %t, status %s; want true, failed", v.Settled, v.Task.Status)
	}
}

func TestVolatileTimes(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get("shannon"), "key"}
	id := c.create("stuck")
	_, one := c.poll(id)
	clock.pass(time.Second)
	_, two := c.poll(id)
	if one.Body.String() == two.Body.String() {
		t.Errorf("two bodies are the same: %s", one.Body)
	}
}

func TestContinue(t *testing.T) {
	tests := []struct{ provider, lifecycle, route, body string }{
		{"orq", "tools", "/v2/agents/" + sampleValue + "/responses", `{"task_id": %q}`},
		{"gumloop", "answer", "/start_agent", `{"interaction_id": %q, "user_id": "u"}`},
	}
	for _, test := range tests {
		t.Run(test.provider, func(t *testing.T) {
			clock := newClock()
			set := builtin(t)
			c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get(test.provider), "key"}
			id := c.create(test.lifecycle)
			body := fmt.Sprintf(test.body, id)
			if w := c.send("POST", test.route, body); w.Code < 400 {
				t.Errorf("continued while running: %d %s", w.Code, w.Body)
			}
			before := c.status(id)
			clock.pass(time.Minute)
			ended := c.status(id)
			w := c.send("POST", test.route, body)
			if got := providers.CreatedID(&c.p.Creates[0], w.Header(), w.Body.Bytes()); w.Code/100 != 2 || got != id {
				t.Fatalf("continue: %d %s, want the id %s", w.Code, w.Body, id)
			}
			again := c.status(id)
			clock.pass(time.Minute)
			got := []normalize.Status{before, again, c.status(id)}
			if want := []normalize.Status{"in_progress", "in_progress", "completed"}; !slices.Equal(got, want) || ended == before {
				t.Errorf("statuses %v around %s, want %v", got, ended, want)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	tests := []struct {
		provider, lifecycle string
		during              []normalize.Status // right after it
	}{
		{"aitronos", "long", []normalize.Status{"cancelled"}},
		{"gumloop-flow", "flow", []normalize.Status{"in_progress"}},
		{"shannon", "long", []normalize.Status{"in_progress"}},
	}
	for _, test := range tests {
		t.Run(test.provider, func(t *testing.T) {
			clock := newClock()
			set := builtin(t)
			c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get(test.provider), "key"}
			id := c.create(test.lifecycle)
			accepted := c.cancel(id)
			during := c.status(id)
			clock.pass(5 * time.Second)
			after := c.status(id)
			if accepted.Code/100 != 2 || !slices.Contains(test.during, during) || after != normalize.Cancelled {
				t.Errorf("cancel: %d, then %s, then %s; want 2xx, %v, cancelled", accepted.Code, during, after, test.during)
			}
			refused := c.cancel(id)
			verdict := c.p.JudgeCancel(c.reference(id), refused.Code, refused.Header(), refused.Body.Bytes(), clock.now())
			if verdict.Kind == providers.Answered {
				t.Errorf("a second cancel was accepted: %d %s", refused.Code, refused.Body)
			}
		})
	}
}

func TestResume(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get("shannon"), "key"}
	id := c.create("paused")
	clock.pass(time.Hour)
	if got := c.status(id); got != normalize.RequiresAction {
		t.Fatalf("status %s, want requires_action", got)
	}
	if w := c.send("POST", "/api/v1/tasks/"+id+"/resume", ""); w.Code != http.StatusAccepted {
		t.Fatalf("resume: %d %s", w.Code, w.Body)
	}
	if got := c.status(id); got != normalize.InProgress {
		t.Errorf("status %s after resume, want in_progress", got)
	}
}

func TestDialects(t *testing.T) {
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{}), set.Get("orq"), "key"}
	w := c.send("POST", "/v2/agents/"+sampleValue+"/task", "{}")
	id := gjson.GetBytes(w.Body.Bytes(), "id").String()
	if !strings.Contains(w.Body.String(), `"kind": "task"`) || c.status(id) != normalize.InProgress {
		t.Errorf("create: %d %s, want an A2A task", w.Code, w.Body)
	}
}

// A task answers only the credential that made it, and only as long as that is accepted.
func TestAccess(t *testing.T) {
	s := newServer(t, builtin(t), Options{})
	for _, p := range simulated(t) {
		t.Run(p.Name, func(t *testing.T) {
			unknown := "nosuchtask"
			for _, param := range p.Params {
				if param.Name == idParam(p) && !fits(param, unknown) {
					unknown = "999999999"
				}
			}
			mine := caller{t, s, p, "key"}
			id := mine.create("")
			kind := func(c caller, id string) providers.Kind {
				v, _ := c.poll(id)
				return v.Kind
			}
			foreign := providers.NotFound
			if strings.HasPrefix(p.Name, "gumloop") {
				foreign = providers.Forbidden
			}
			tests := []struct {
				name string
				got  providers.Kind
				want providers.Kind
			}{
				{"its owner", kind(mine, id), providers.Answered},
				{"another credential", kind(caller{t, s, p, "other"}, id), foreign},
				{"no credential", kind(caller{t, s, p, ""}, id), providers.Unauthorized},
				{"a refused credential", kind(caller{t, s, p, "invalid"}, id), providers.Unauthorized},
				{"an unknown task", kind(mine, unknown), providers.NotFound},
			}
			for _, test := range tests {
				if test.got != test.want {
					t.Errorf("%s: kind %d, want %d", test.name, test.got, test.want)
				}
			}
			s.keys.set("key", true)
			if got := kind(mine, id); got != providers.Unauthorized {
				t.Errorf("revoked: kind %d, want %d", got, providers.Unauthorized)
			}
			s.keys.set("key", false)
			if got := kind(mine, id); got != providers.Answered {
				t.Errorf("restored: kind %d, want %d", got, providers.Answered)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{Keys: []string{"good"}})
	for key, want := range map[string]int{"good": http.StatusNotFound, "other": http.StatusUnauthorized} {
		_, w := caller{t, s, set.Get("vessl"), key}.poll("nosuchtask")
		if w.Code != want {
			t.Errorf("key %s: %d, want %d", key, w.Code, want)
		}
	}
}

// Every answer about a task carries the mark of its owner where the provider has room for one.
func TestCanary(t *testing.T) {
	set := builtin(t)
	clock := newClock()
	s := newServer(t, set, Options{Seed: 3, Now: clock.now})
	for provider, lifecycle := range map[string]string{
		"aitronos": "answer", "orq": "answer", "gumloop": "answer", "gumloop-flow": "flow", "vessl": "warm", "shannon": "answer",
		"openai": "answer", "a2a": "answer",
	} {
		c := caller{t, s, set.Get(provider), "key"}
		id := c.create(lifecycle)
		clock.pass(time.Hour)
		_, w := c.poll(id)
		if want := canary(3, "key", id); !strings.Contains(w.Body.String(), want) || want == canary(3, "other", id) {
			t.Errorf("%s: no canary %s in %s", provider, want, w.Body)
		}
	}
}

func TestRate(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	s := newServer(t, set, Options{Now: clock.now, Rates: map[string]Rate{"": {Requests: 3, Per: time.Minute}}})
	for _, p := range simulated(t) {
		c := caller{t, s, p, "key"}
		id := c.create("")
		if len(p.Creates) == 0 { // what made the task was no request
			c.poll(id)
		}
		c.poll(id)
		c.poll(id)
		v, w := c.poll(id)
		if v.Kind != providers.RateLimited || w.Header().Get("Retry-After") != "20" {
			t.Errorf("%s: %d with Retry-After %q, want 429 with 20", p.Name, w.Code, w.Header().Get("Retry-After"))
		}
		if v, _ := (caller{t, s, p, "other"}).poll(id); v.Kind == providers.RateLimited {
			t.Errorf("%s: another credential is limited too", p.Name)
		}
	}
	clock.pass(20 * time.Second)
	if v, _ := (caller{t, s, set.Get("orq"), "key"}).poll("nosuchtask"); v.Kind != providers.NotFound {
		t.Errorf("after Retry-After: kind %d, want %d", v.Kind, providers.NotFound)
	}
}

func TestRoutes(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{})
	shannon := caller{t, s, set.Get("shannon"), "key"}
	tests := []struct {
		name, method, path, body string
		want                     int
	}{
		{"no such route", "GET", "/api/v2/tasks/x", "", 404},
		{"another method", "PUT", "/api/v1/tasks/x", "", 404},
		{"a malformed id", "GET", "/api/v1/tasks/a%20b", "", 400},
		{"an escaped slash stays in its segment", "GET", "/api/v1/tasks/a%2Fstream", "", 400},
		{"a create that is not JSON", "POST", "/api/v1/tasks", "{", 400},
		{"an unknown lifecycle", "POST", "/api/v1/tasks", "{}", 400},
	}
	for _, test := range tests {
		w := shannon.send(test.method, test.path, test.body, LifecycleHeader, "nonesuch")
		if w.Code != test.want {
			t.Errorf("%s: %d %s, want %d", test.name, w.Code, w.Body, test.want)
		}
	}
	id := shannon.create("stuck")
	w := shannon.send("GET", "/api/v1/tasks/"+id+"/stream", "")
	if got, want := w.Header().Get("Location"), "/api/v1/stream/sse?workflow_id="+id; w.Code != 307 || got != want {
		t.Errorf("stream: %d to %q, want 307 to %q", w.Code, got, want)
	}
	if w := shannon.send("GET", "/api/v1/stream/sse?workflow_id="+id, ""); !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") {
		t.Errorf("events: %d %q", w.Code, w.Body)
	}
	gumloop := caller{t, s, set.Get("gumloop"), "key"}
	if w := gumloop.send("GET", "/agent_status/abc", ""); w.Code != 400 {
		t.Errorf("neither user_id nor project_id: %d, want 400", w.Code)
	}
}

// What a caller sends comes back as text, never as syntax.
func TestCallerTextIsEscaped(t *testing.T) {
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{}), set.Get("shannon"), "key"}
	query := `"}, <img src=x onerror=alert(1)> \ {id}` + "\n"
	body, _ := json.Marshal(map[string]string{"query": query})
	w := c.send("POST", "/api/v1/tasks", string(body), LifecycleHeader, "stuck")
	_, w = c.poll(gjson.GetBytes(w.Body.Bytes(), "task_id").String())
	var got struct{ Query string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Query != query {
		t.Errorf("query %q (%v), want %q", got.Query, err, query)
	}
}

func TestDeterminism(t *testing.T) {
	record := func(seed uint64) string {
		clock := newClock()
		s := newServer(t, builtin(t), Options{Seed: seed, Now: clock.now})
		var all strings.Builder
		for _, p := range simulated(t) {
			c := caller{t, s, p, "key"}
			for range 5 {
				id := c.create("")
				clock.pass(10 * time.Second)
				_, w := c.poll(id)
				fmt.Fprintln(&all, id, w.Header(), w.Body)
			}
		}
		return all.String()
	}
	if first, again := record(1), record(1); first != again {
		t.Error("the same seed gave different answers")
	}
	if record(1) == record(2) {
		t.Error("different seeds gave the same answers")
	}
}

func TestSpeed(t *testing.T) {
	clock := newClock()
	set, err := load(acme + playable)
	if err != nil {
		t.Fatal(err)
	}
	c := caller{t, newServer(t, set, Options{Speed: 10, Now: clock.now}), set.Get("acme"), "key"}
	id := c.create("")
	for _, step := range []struct {
		after time.Duration
		want  normalize.Status
	}{{999 * time.Millisecond, normalize.InProgress}, {time.Millisecond, normalize.Completed}} {
		clock.pass(step.after)
		if got := c.status(id); got != step.want {
			t.Errorf("%s, want %s", got, step.want)
		}
	}
}

func TestOldestTaskIsForgotten(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{MaxTasks: 3})
	c := caller{t, s, set.Get("vessl"), "key"}
	var ids []string
	for range 5 {
		ids = append(ids, c.create("stuck"))
	}
	for i, id := range ids {
		v, _ := c.poll(id)
		if known := v.Kind == providers.Answered; known != (i >= 2) {
			t.Errorf("task %d of 5 known: %t", i+1, known)
		}
	}
	if got := s.Stats().Upstreams["vessl"].Tasks; got != 3 {
		t.Errorf("%d tasks, want 3", got)
	}
}

func TestBodyBytes(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	c := caller{t, newServer(t, set, Options{Now: clock.now}), set.Get("vessl"), "key"}
	id := c.create("large")
	clock.pass(time.Hour)
	if _, w := c.poll(id); w.Body.Len() != 16<<10 {
		t.Errorf("body of %d bytes, want %d", w.Body.Len(), 16<<10)
	}
}

func TestConcurrency(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{Speed: 1000, MaxTasks: 50, Rates: map[string]Rate{"orq": {Requests: 50, Per: time.Second}}})
	var group sync.WaitGroup
	for _, p := range simulated(t) {
		for _, key := range []string{"a", "b"} {
			group.Go(func() {
				c := caller{t, s, p, key}
				for range 40 {
					id, err := s.Create(p.Name, nil, key, "")
					if err != nil {
						t.Error(err)
						return
					}
					c.poll(id)
					if p.Cancel != nil {
						c.cancel(id)
					}
					s.Stats()
				}
			})
		}
	}
	group.Wait()
	for _, p := range simulated(t) {
		if got := s.Stats().Upstreams[p.Name]; got.Polls != 80 || got.Tasks != 50 {
			t.Errorf("%s: %d polls and %d tasks, want 80 and 50", p.Name, got.Polls, got.Tasks)
		}
	}
}
