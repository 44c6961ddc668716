package sandbox

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pollux/normalize"
	"pollux/providers"
)

func control(s *Server, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, "/_sandbox/"+path, strings.NewReader(body)))
	return w
}

func TestSeedTasks(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	s := newServer(t, set, Options{Now: clock.now})
	w := control(s, "POST", "tasks", `{"provider": "orq", "id": "01K6", "params": {"agent_key": "`+sampleValue+`"}, "lifecycle": "stuck"}`)
	if got, want := strings.TrimSpace(w.Body.String()), `{"ids":["01K6"]}`; got != want {
		t.Errorf("seed: %d %s, want %s", w.Code, got, want)
	}
	for _, key := range []string{"a", "b"} {
		if got := (caller{t, s, set.Get("orq"), key}).status("01K6"); got != normalize.InProgress {
			t.Errorf("as %s: %s, want in_progress", key, got)
		}
	}
	var reply struct{ IDs []string }
	w = control(s, "POST", "tasks", `{"provider": "vessl", "credential": "Bearer a", "lifecycle": "stuck", "count": 3}`)
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || len(reply.IDs) != 3 {
		t.Fatalf("seed three: %d %s", w.Code, w.Body)
	}
	for key, want := range map[string]providers.Kind{"a": providers.Answered, "b": providers.NotFound} {
		if v, _ := (caller{t, s, set.Get("vessl"), key}).poll(reply.IDs[2]); v.Kind != want {
			t.Errorf("as %s: kind %d, want %d", key, v.Kind, want)
		}
	}
	// A task under another agent is another task.
	control(s, "POST", "tasks", `{"provider": "orq", "id": "01K7", "params": {"agent_key": "other"}}`)
	if v, _ := (caller{t, s, set.Get("orq"), "a"}).poll("01K7"); v.Kind != providers.NotFound {
		t.Errorf("under another agent: kind %d, want %d", v.Kind, providers.NotFound)
	}
}

func TestListFaults(t *testing.T) {
	clock := newClock()
	s := newServer(t, builtin(t), Options{Now: clock.now}, Fault{Kind: "latency", Delay: 2 * time.Second})
	control(s, "POST", "faults", `{"provider": "orq", "route": "poll", "kind": "503", "ratio": 0.5, "for": "30s"}`)
	list := func() string { return strings.TrimSpace(control(s, "GET", "faults", "").Body.String()) }
	clock.pass(10 * time.Second)
	if got, want := list(), `{"faults":[{"kind":"latency","delay":"2s"},{"provider":"orq","route":"poll","kind":"503","ratio":0.5,"for":"20s"}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	clock.pass(20 * time.Second)
	if got, want := list(), `{"faults":[{"kind":"latency","delay":"2s"}]}`; got != want {
		t.Errorf("after its end: got %s, want %s", got, want)
	}
	control(s, "DELETE", "faults", "")
	if got, want := list(), `{"faults":[]}`; got != want {
		t.Errorf("cleared: got %s, want %s", got, want)
	}
}

func TestControl(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{})
	vessl := caller{t, s, set.Get("vessl"), "key"}
	code := func() int {
		_, w := vessl.poll("nosuchtask")
		return w.Code
	}
	steps := []struct {
		method, path, body string
		want, poll         int // codes of the request and of a poll after it
	}{
		{"POST", "faults", `{"provider": "vessl", "kind": "503", "ratio": 1, "delay": "2s", "for": "10s"}`, 204, 503},
		{"POST", "faults", `{"provider": "vessl", "kind": "fire"}`, 400, 503},
		{"POST", "faults", `{"provider": "vessl", "kind": "500", "typo": 1}`, 400, 503},
		{"POST", "faults", `{"kind": "500"} {}`, 400, 503},
		{"DELETE", "faults?provider=orq", "", 204, 503},
		{"DELETE", "faults?provider=vessl", "", 204, 404},
		{"POST", "revoked", `{"credential": "key"}`, 204, 401},
		{"DELETE", "revoked", `{"credential": "key"}`, 204, 404},
		{"POST", "tasks", `{"provider": "nobody"}`, 400, 404},
		{"POST", "tasks", `{"provider": "vessl", "lifecycle": "nonesuch"}`, 400, 404},
		{"POST", "tasks", `{"provider": "vessl", "id": "a", "count": 2}`, 400, 404},
		{"GET", "nothing", "", 404, 404},
	}
	for _, step := range steps {
		w := control(s, step.method, step.path, step.body)
		if got := code(); w.Code != step.want || got != step.poll {
			t.Errorf("%s %s %s: %d, then %d; want %d, %d", step.method, step.path, step.body, w.Code, got, step.want, step.poll)
		}
	}
	var stats Stats
	if err := json.Unmarshal(control(s, "GET", "stats", "").Body.Bytes(), &stats); err != nil {
		t.Fatal(err)
	}
	if got := stats.Upstreams["vessl"]; got.Polls != 12 || got.Requests != 12 || got.Faulted != 5 {
		t.Errorf("stats %+v, want 12 polls, 5 of them faulted", got)
	}
}

func TestTaskPolls(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{})
	c := caller{t, s, set.Get("aitronos"), "key"}
	id := c.create("stuck")
	for range 3 {
		c.poll(id)
	}
	if got := s.Stats().Upstreams["aitronos"]; got.TaskPolls[id] != 3 || got.Creates != 1 {
		t.Errorf("stats %+v, want 3 polls of %s and a create", got, id)
	}
}
