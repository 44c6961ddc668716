// Package benchmarks holds load scenarios, side-by-side runs and their
// recorded results.
package benchmarks

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// api is a VESSL service whose tasks answer as the test says, and that
// counts polls by task.
type api struct {
	*httptest.Server
	mu    sync.Mutex
	polls map[string]int
}

func newAPI(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, id string)) *api {
	u := &api{polls: map[string]int{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/async/"), "/output")
		u.mu.Lock()
		u.polls[id]++
		u.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		answer(w, r, id)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *api) total() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range u.polls {
		n += k
	}
	return n
}

func (u *api) config() string {
	return "upstreams:\n  vessl: {provider: vessl, base_url: " + u.URL + "}\n"
}

func running(w http.ResponseWriter, _ *http.Request, _ string) {
	_, _ = io.WriteString(w, `{"status":"in_progress"}`)
}

// TestSimultaneousPolls: 300 polls of one task at once are one upstream poll,
// and everybody is awake within milliseconds of its end.
func TestSimultaneousPolls(t *testing.T) {
	const polls = 300
	release := make(chan struct{})
	u := newAPI(t, func(w http.ResponseWriter, r *http.Request, id string) { <-release; running(w, r, id) })
	p := startPollux(t, t.TempDir(), u.config())
	before := p.descriptors()
	var waiting sync.WaitGroup
	var collapsed, forwarded atomic.Int64
	var last atomic.Int64
	for range polls {
		waiting.Go(func() {
			code, h, _ := p.get("/v1/tasks/vessl/job1", "k")
			last.Store(time.Now().UnixNano())
			switch cs := h.Get("Cache-Status"); {
			case code != 200:
				t.Errorf("answered %d", code)
			case strings.Contains(cs, "collapsed"):
				collapsed.Add(1)
			case strings.Contains(cs, "fwd="):
				forwarded.Add(1)
			}
		})
	}
	within(20*time.Second, func() bool { return p.descriptors() >= before+polls })
	time.Sleep(200 * time.Millisecond) // all are connected; nothing tells that the last was read
	end := time.Now()
	close(release)
	waiting.Wait()
	if n := u.total(); n != 1 || forwarded.Load() != 1 || collapsed.Load() < polls-10 {
		t.Errorf("%d upstream polls, %d callers forwarded, %d collapsed", n, forwarded.Load(), collapsed.Load())
	}
	t.Logf("the last of %d callers was answered %v after the upstream", polls, time.Unix(0, last.Load()).Sub(end))
}

// TestFleetOfClients: 30 clients poll 5 tasks 4 times a second; the upstream
// sees at most one poll per task and lifetime of 2 s.
func TestFleetOfClients(t *testing.T) {
	t.Parallel() // it mostly waits
	u := newAPI(t, running)
	p := startPollux(t, t.TempDir(), u.config())
	const clients, tasks, seconds = 30, 5, 8
	var polls atomic.Int64
	var fleet sync.WaitGroup
	start := time.Now()
	for range clients {
		fleet.Go(func() {
			tick := time.NewTicker(250 * time.Millisecond)
			defer tick.Stop()
			for time.Since(start) < seconds*time.Second {
				for i := range tasks {
					if code, _, body := p.get(fmt.Sprintf("/v1/tasks/vessl/job%d", i), "k"); code != 200 {
						t.Errorf("answered %d: %s", code, body)
					}
					polls.Add(1)
				}
				<-tick.C
			}
		})
	}
	fleet.Wait()
	most := int(time.Since(start)/(2*time.Second)) + 1
	for id, n := range u.polls {
		if n > most {
			t.Errorf("%s was polled %d times in %v, want at most %d", id, n, time.Since(start), most)
		}
	}
	t.Logf("%d client polls became %d upstream polls", polls.Load(), u.total())
}

// TestFinishedTasksSurviveKill: thousands of finished tasks of 16 KB do not fit
// in 8 MiB of memory. After kill -9, with the upstream gone, all are answered.
func TestFinishedTasksSurviveKill(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 1024)
	u := newAPI(t, func(w http.ResponseWriter, _ *http.Request, id string) {
		fmt.Fprintf(w, `{"status":"completed","status_code":200,"raw_output":"","output":{"id":%q,"text":%q}}`, id, payload)
	})
	dir := t.TempDir()
	config := "cache: {max_bytes: 8MiB}\n" + u.config()
	p := startPollux(t, dir, config)
	tasks := 3000
	if raceEnabled {
		tasks = 1000
	}
	all := func(p *process) {
		t.Helper()
		var workers sync.WaitGroup
		for w := range 16 {
			workers.Go(func() {
				for i := w; i < tasks; i += 16 {
					id := fmt.Sprintf("job%d", i)
					code, _, body := p.get("/v1/tasks/vessl/"+id, "k")
					if code != 200 || !strings.Contains(body, `"id":"`+id+`"`) || !strings.Contains(body, payload) {
						t.Errorf("%s: answered %d with %d bytes", id, code, len(body))
						return
					}
				}
			})
		}
		workers.Wait()
	}
	all(p)
	if n := u.total(); n != tasks {
		t.Errorf("%d upstream polls for %d tasks", n, tasks)
	}
	all(p) // most come back from the store
	p.kill()
	u.Close()
	p = startPollux(t, dir, config)
	all(p)
	if n := u.total(); n != tasks {
		t.Errorf("%d upstream polls in all, want none after the first round", n)
	}
}

// TestNobodySeesAnothersTask: many credentials poll the same ids at random,
// while the upstream fails in every way. Each body betrays whose it is.
func TestNobodySeesAnothersTask(t *testing.T) {
	u := newAPI(t, func(w http.ResponseWriter, r *http.Request, id string) {
		owner := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		status, code := "completed", 200
		switch n := rand.IntN(100); {
		case n < 3:
			w.WriteHeader(500 + rand.IntN(5))
			return
		case n < 5:
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"status\":")
				_ = buf.Flush()
				conn.Close()
			}
			return
		case n < 50:
			status = "in_progress"
		case n < 52:
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Fprintf(w, `{"status":%q,"status_code":%d,"raw_output":"","output":{"owner":"%s/%s"}}`, status, code, owner, id)
	})
	p := startPollux(t, t.TempDir(), strings.Replace(u.config(), "}\n",
		", freshness: {in_progress: 500ms}, breaker: {failures: 1000000, ratio: 1}}\n", 1)+
		"limits: {misses_per_partition: {per_second: 100000, burst: 100000}}\n")
	const credentials, ids, workers = 1000, 1000, 64
	polls := 100_000
	if raceEnabled {
		polls = 20_000
	}
	var foreign, answered atomic.Int64
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() {
			for range polls / workers {
				// A few are popular, so that polls merge and hit.
				credential := fmt.Sprintf("c%d", int(rand.ExpFloat64()*credentials/8)%credentials)
				id := fmt.Sprintf("job%d", int(rand.ExpFloat64()*ids/100)%ids)
				path := "/v1/tasks/vessl/" + id
				if rand.IntN(4) == 0 {
					path = "/native/vessl/async/" + id + "/output"
				}
				code, _, body := p.get(path, credential)
				if code == 200 {
					answered.Add(1)
				}
				if i := strings.Index(body, `"owner":"`); i >= 0 && !strings.HasPrefix(body[i+9:], credential+"/"+id+`"`) {
					foreign.Add(1)
				}
			}
		})
	}
	crowd.Wait()
	if foreign.Load() != 0 || answered.Load() < int64(polls/2) {
		t.Errorf("%d foreign answers among %d", foreign.Load(), answered.Load())
	}
	t.Logf("%d polls, %d answered with a document, %d upstream polls", polls, answered.Load(), u.total())
}

// TestCredentialsStayInside: a marker credential in 10,000 requests, a tenth of
// them malformed, is found nowhere afterwards: not in the log, not in metrics,
// not in an answer, not in a file, in no encoding.
func TestCredentialsStayInside(t *testing.T) {
	const marker = "sk-marker-7f3b9c1d5e"
	u := newAPI(t, func(w http.ResponseWriter, r *http.Request, id string) {
		switch rand.IntN(5) {
		case 0: // an upstream that echoes what it refuses
			w.WriteHeader(400 + rand.IntN(30))
			fmt.Fprintf(w, `{"message":%q}`, r.Header.Get("Authorization"))
		case 1:
			w.WriteHeader(500)
			fmt.Fprint(w, r.Header.Get("Authorization"))
		default:
			running(w, r, id)
		}
	})
	p := startPollux(t, t.TempDir(), u.config()+
		"  gumloop: {provider: gumloop, base_url: "+u.URL+"}\nlog: {level: debug}\n")
	var seen strings.Builder
	var mu sync.Mutex
	note := func(answer string) {
		mu.Lock()
		defer mu.Unlock()
		seen.WriteString(answer)
	}
	malformed := []string{
		"GET /v1/tasks/vessl/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + marker + "\x01\r\n\r\n",
		"GET /v1/tasks/vessl/a HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer " + marker + "\r\n\r\n",
		"GET /v1/tasks/gumloop/a?api_key=" + marker + " HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"GET /v1/tasks/vessl/a?key=" + marker + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + marker + "\r\n\r\n",
		"GET " + marker + "\r\n\r\n",
		marker + ": x\r\n\r\n",
		"POST /v1/tasks/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{\"tasks\":[\"vessl/a\"],\"credentials\":{\"vessl\":{\"Bad\":\"" + marker + "\"}}}",
		"GET /v1/tasks/vessl/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + marker + "\r\nAuthorization: Bearer " + marker + "\r\n\r\n",
		"GET /v1/tasks/vessl/a HTTP/1.1\r\nHost: " + marker + "@localhost\r\n\r\n",
		"GET /v1/tasks/vessl/a HTTP/1.1\r\nHost: localhost\r\nCookie: a=" + marker,
	}
	const requests, workers = 10_000, 16
	var crowd sync.WaitGroup
	for w := range workers {
		crowd.Go(func() {
			for i := range requests / workers {
				switch {
				case i%10 == 0:
					note(raw(t, p.address, malformed[(i/10+w)%len(malformed)]))
				case i%3 == 0:
					_, _, body := p.get("/v1/tasks/gumloop/job?user_id=u&api_key="+marker, "")
					note(body)
				default:
					_, _, body := p.get(fmt.Sprintf("/v1/tasks/vessl/job%d", i%50), marker)
					note(body)
				}
			}
		})
	}
	crowd.Wait()
	_, _, metrics := p.get("/metrics", "")
	note(metrics)
	p.kill()
	everything := seen.String() + p.files()
	for _, form := range []string{marker, url.QueryEscape("Bearer " + marker),
		base64.StdEncoding.EncodeToString([]byte(marker)), base64.StdEncoding.EncodeToString([]byte("Bearer " + marker))} {
		if i := strings.Index(everything, form); i >= 0 {
			t.Errorf("the credential is found as %d bytes at %d, after %q", len(form), i, everything[max(0, i-200):i])
		}
	}
}

// raw sends bytes on a connection of its own and returns what comes back.
func raw(t testing.TB, address, request string) string {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(c, request)
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c) // cut connections are part of the exercise
	return string(answer)
}
