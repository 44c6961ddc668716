package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rounds is how often a test does what it does: few times on every change, as
// often as POLLUX_SOAK says in a soak.
func rounds(t testing.TB, few int) int {
	t.Helper()
	return numberFrom(t, "POLLUX_SOAK", few)
}

// numberFrom is the number in an environment variable, or otherwise where that is
// not set.
func numberFrom(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// inbox is a receiver of webhooks that remembers which messages came.
type inbox struct {
	*httptest.Server
	mu  sync.Mutex        // guards got
	got map[string]string // webhook-id by task, and by task and path
}

func newInbox(t testing.TB) *inbox {
	b := &inbox{got: map[string]string{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			Data struct{ ID, Status string }
		}
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &message) != nil || message.Data.Status != "completed" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		one, id := message.Data.ID+r.URL.Path, r.Header.Get("webhook-id")
		if before := b.got[one]; before != "" && before != id {
			t.Errorf("task %s was told under two ids, %s and %s", message.Data.ID, before, id)
		}
		b.got[one], b.got[message.Data.ID] = id, id
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *inbox) has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[id] != ""
}

// register registers a webhook for a task at a replica.
func (b *inbox) register(t testing.TB, r *replica, id string) {
	t.Helper()
	attempt := 0
	eventually(t, func() string { // a machine so busy that the database takes half a second is asked again
		attempt++ // one that was not confirmed may stand all the same
		body, err := json.Marshal(map[string]any{"tasks": []string{"up/" + id}, "url": fmt.Sprintf("%s/%d", b.URL, attempt), "on": []string{"terminal"}})
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(http.MethodPost, r.base+"/v1/webhooks", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer a")
		request.Header.Set("Content-Type", "application/json")
		answer, err := replicaClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		switch text, _ := io.ReadAll(answer.Body); answer.StatusCode {
		case http.StatusCreated:
			return ""
		case http.StatusServiceUnavailable:
			return fmt.Sprintf("webhook for %s: %s", id, text)
		default:
			t.Fatalf("webhook for %s: %d %s", id, answer.StatusCode, text)
			return ""
		}
	})
}

// TestReplicasTakeOver kills a replica of three again and again, which holds
// leases, watches and webhooks. Every webhook is delivered, by those that live,
// and nothing that has ended is lost.
func TestReplicasTakeOver(t *testing.T) {
	s := newReplicas(t, 3, "")
	inbox := newInbox(t)
	var ended []string
	load, stop := context.WithCancel(t.Context())
	defer stop()
	var live atomic.Pointer[replica]
	live.Store(s.all[2])
	var loaders sync.WaitGroup
	defer loaders.Wait()
	defer stop()
	for n := range 4 {
		loaders.Go(func() {
			for i := n; load.Err() == nil; i++ {
				_, _, _, _ = live.Load().ask(load, http.MethodGet, fmt.Sprintf("/v1/tasks/up/load-%d", i%40), "a")
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for round := range rounds(t, 3) {
		victim, other := s.all[0], s.all[1]
		live.Store(s.all[2])
		var tasks []string
		for i := range 12 {
			id := fmt.Sprintf("round-%d-%d", round, i)
			tasks = append(tasks, id)
			inbox.register(t, []*replica{victim, other, s.all[2]}[i%3], id)
		}
		for i, id := range tasks[:6] { // these end, and are stored, before it dies
			s.upstream.says(id, "done", "end of "+id)
			if _, body, _ := []*replica{victim, other}[i%2].poll(t, id, "a", "Cache-Control", "no-cache"); !bytes.Contains([]byte(body), []byte("completed")) {
				time.Sleep(1100 * time.Millisecond)
			}
		}
		if err := victim.process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		<-victim.ended
		for _, id := range tasks[6:] {
			s.upstream.says(id, "done", "end of "+id)
		}
		eventually(t, func() string {
			for _, id := range tasks {
				if !inbox.has(id) {
					return fmt.Sprintf("round %d: the webhook of %s is not delivered %v after the death", round, id, time.Since(died).Round(time.Second))
				}
			}
			return ""
		})
		t.Logf("round %d: all webhooks were delivered %v after the death", round, time.Since(died).Round(10*time.Millisecond))
		ended = append(ended, tasks...)
		s.all = s.all[1:]
		s.start()
		s.all[2].log.await(t, "msg=replicas living=3")
	}
	stop()
	for _, id := range ended {
		for _, r := range s.all {
			if code, body, _ := r.poll(t, id, "a"); code != http.StatusOK || !bytes.Contains([]byte(body), []byte("end of "+id)) {
				t.Errorf("%s at %s: %d %s", id, r.base, code, body)
			}
		}
	}
}

// TestReplicasRestart restarts three replicas one after the other under load, as
// an upgrade does behind a load balancer that looks at /readyz: no poll fails, and
// streams are told to come back at different times.
func TestReplicasRestart(t *testing.T) {
	t.Parallel()
	s := newReplicas(t, 3, "")
	var mu sync.Mutex // guards ready
	ready := append([]*replica{}, s.all...)
	load, stop := context.WithCancel(t.Context())
	defer stop()
	var polls, failed atomic.Int64
	var loaders sync.WaitGroup
	for n := range 8 {
		loaders.Go(func() {
			for i := n; load.Err() == nil; i++ {
				mu.Lock()
				r := ready[i%len(ready)]
				mu.Unlock()
				code, body, _, err := r.ask(load, http.MethodGet, fmt.Sprintf("/v1/tasks/up/task-%d", i%40), "a")
				if polls.Add(1); load.Err() == nil && (err != nil || code != http.StatusOK) {
					failed.Add(1)
					t.Errorf("poll of %s: %d %s %v", r.base, code, body, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	retries := map[string]bool{}
	for range 3 {
		old := s.all[0]
		ctx, end := context.WithCancel(t.Context())
		var streams []<-chan event
		for i := range 4 {
			streams = append(streams, streamOf(t, ctx, old, fmt.Sprintf("task-%d", i), "a"))
		}
		mu.Lock()
		ready = ready[1:]
		mu.Unlock()
		time.Sleep(100 * time.Millisecond) // what was sent to it is answered
		old.end(t)
		for _, events := range streams {
			for e := range events {
				if e.name == "retry" {
					retries[e.data] = true
				}
			}
		}
		end()
		s.all = s.all[1:]
		next := s.start()
		mu.Lock()
		ready = append(ready, next)
		mu.Unlock()
		next.log.await(t, "msg=replicas living=3")
	}
	stop()
	loaders.Wait()
	if t.Logf("%d polls over three restarts, %d failed; streams come back after %v ms", polls.Load(), failed.Load(), retries); len(retries) < 4 {
		t.Errorf("twelve streams were told to come back after %v ms, want spread", retries)
	}
}
