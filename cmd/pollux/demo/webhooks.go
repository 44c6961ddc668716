package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	// hooksPath is where the teams' receivers are, beside the simulated upstreams.
	hooksPath = "/hooks/"
	// hookEvery is how often a team has its running tasks watched, hookTasks how
	// many of them, and keepHooks how many webhooks are left in place.
	hookEvery = 5 * time.Second
	hookTasks = 3
	keepHooks = 15
	// hookFailures is one in how many messages its receiver does not take.
	hookFailures = 6
)

// WithReceivers is upstreams with receivers beside them, which at times are as
// busy as real ones.
func WithReceivers(upstreams http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, hooksPath):
			upstreams.ServeHTTP(w, r)
		case rand.N(hookFailures) == 0:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// registerLoop registers webhooks, the teams in turn, until ctx ends.
func (f *Fleet) registerLoop(ctx context.Context) {
	tick := time.NewTicker(hookEvery)
	defer tick.Stop()
	for team := 0; ; team = (team + 1) % teams {
		f.register(ctx, team)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// register has Pollux tell a team when some of its tasks have ended, and ends the
// webhook before many others. What is refused meanwhile, as while an upstream
// fails, is tried again with other tasks.
func (f *Fleet) register(ctx context.Context, team int) {
	type registration struct {
		Tasks       []string                     `json:"tasks"`
		URL         string                       `json:"url"`
		On          []string                     `json:"on"`
		Credentials map[string]map[string]string `json:"credentials"`
	}
	r := registration{URL: fmt.Sprintf("%s%s%s", f.receivers, hooksPath, TeamKeys()[team]), On: []string{"terminal", "requires_action"},
		Credentials: map[string]map[string]string{}}
	for _, t := range f.running(team) {
		if r.Credentials[t.upstream] != nil {
			continue
		}
		headers := map[string]string{}
		for _, field := range t.credential.Headers {
			headers[field.Name] = field.Value
		}
		r.Credentials[t.upstream] = headers
		if r.Tasks = append(r.Tasks, strings.TrimPrefix(t.path, "/v1/tasks/")); len(r.Tasks) == hookTasks {
			break
		}
	}
	body, err := json.Marshal(r)
	if err != nil || len(r.Tasks) == 0 {
		return
	}
	var made struct {
		ID string `json:"id"`
	}
	if f.webhook(ctx, http.MethodPost, "", body, &made) != nil || made.ID == "" {
		return
	}
	if f.hooks = append(f.hooks, made.ID); len(f.hooks) > keepHooks {
		f.webhook(ctx, http.MethodDelete, "/"+f.hooks[0], nil, nil)
		f.hooks = f.hooks[1:]
	}
}

// running are a team's tasks that have not ended, in no order.
func (f *Fleet) running(team int) (tasks []*task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range rand.Perm(len(f.tasks[team])) {
		t := f.tasks[team][i]
		t.mu.Lock()
		if t.ended.IsZero() {
			tasks = append(tasks, t)
		}
		t.mu.Unlock()
	}
	return tasks
}

// webhook asks Pollux about webhooks, and reads the answer into out unless it is
// nil.
func (f *Fleet) webhook(ctx context.Context, method, path string, body []byte, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, f.base+"/v1/webhooks"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
