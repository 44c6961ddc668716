package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"pollux/proxy/poller/upstream"
)

// change applies f to the config of every upstream.
func (f *face) change(base string, change func(*upstream.Config)) {
	f.t.Helper()
	all := upstreams(base)
	for name, u := range all {
		change(&u)
		all[name] = u
	}
	f.replace(all, DefaultConfig())
}

// TestForwardsHaveLimits: requests that are passed on fill neither an upstream
// nor, for one credential, what others may pass on; polls go on.
func TestForwardsHaveLimits(t *testing.T) {
	f, release := newFace(t, nil), make(chan struct{})
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			<-release
		}
		io.WriteString(w, `{"id":"made","status":"pending"}`)
	})
	base := f.poller.Upstream([]byte("vessl")).Base.String()
	f.change(base, func(u *upstream.Config) { u.MaxForwards, u.MaxForwardsPerPartition = 3, 2 })
	answers := make(chan int, 10)
	create := func(key string) {
		seen := f.polls.Load()
		go func() { answers <- f.do("POST", "/native/vessl/async", `{}`, "Authorization: Bearer "+key).StatusCode }()
		for f.polls.Load() == seen {
			time.Sleep(time.Millisecond)
		}
	}
	refused := func(key, limit string) {
		t.Helper()
		a := f.do("POST", "/native/vessl/async", `{}`, "Authorization: Bearer "+key)
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "("+limit+")") || !strings.Contains(a.body, "/problems/overloaded") {
			t.Errorf("%s: code %d: %s", limit, a.StatusCode, a.body)
		}
	}
	create("one")
	create("one")
	refused("one", "max_forwards_per_partition")
	create("two")
	refused("three", "max_forwards")
	f.change(base, func(u *upstream.Config) { u.MaxForwards, u.MaxForwardsPerPartition = 3, 2 })
	refused("three", "max_forwards") // a reload forgets none
	if a := f.do("GET", "/v1/tasks/vessl/job1", "", "Authorization: Bearer one"); a.StatusCode != 200 {
		t.Errorf("a poll meanwhile: code %d: %s", a.StatusCode, a.body)
	}
	close(release)
	for range 3 {
		if code := <-answers; code != 200 {
			t.Errorf("a create that was passed on: code %d", code)
		}
	}
	if a := f.do("POST", "/native/vessl/async", `{}`, "Authorization: Bearer one"); a.StatusCode != 200 {
		t.Errorf("afterwards: code %d: %s", a.StatusCode, a.body)
	}
}

// drip writes a byte at a time until it cannot.
func drip(w io.Writer, flush func()) {
	for range 600 {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		flush()
		time.Sleep(50 * time.Millisecond)
	}
}

func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	f := newFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/upload" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		w.Header().Set("Content-Type", strings.ReplaceAll(r.URL.Path[1:], "_", "/"))
		drip(w, w.(http.Flusher).Flush)
	})
	f.change(f.poller.Upstream([]byte("vessl")).Base.String(), func(u *upstream.Config) { u.ForwardRate, u.ForwardGrace = 200, 100*time.Millisecond })

	began := time.Now()
	res, err := http.Get("http://" + f.address + "/native/vessl/application_json")
	must(t, err)
	if body, err := io.ReadAll(res.Body); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("a body of 20 bytes a second: %d bytes, %v, after %v", len(body), err, time.Since(began))
	}
	res.Body.Close()

	res, err = http.Get("http://" + f.address + "/native/vessl/text_event-stream")
	must(t, err)
	if _, err := io.ReadFull(res.Body, make([]byte, 60)); err != nil { // three seconds
		t.Errorf("an event stream of 20 bytes a second: %v", err)
	}
	res.Body.Close()

	c, err := net.Dial("tcp", f.address)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /native/vessl/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
	must(t, err)
	go drip(c, func() {})
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	head := make([]byte, 12)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 408" {
		t.Errorf("an upload of 20 bytes a second: %q, %v", head, err)
	}
}
