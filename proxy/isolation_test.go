package proxy

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mixedUp is an upstream that answers every request rightly, for the
// credential and the path that it names, and then says more than it was asked.
type mixedUp struct {
	ln    net.Listener
	fault atomic.Pointer[func(send func(string), answer string)]
	spent atomic.Bool // the one fault of a run that has one
}

// answerFor is a whole answer with a body that only its asker may see.
func answerFor(credential, path string) string {
	body := fmt.Sprintf(`{"id":"made","status":"completed","status_code":200,"output":"%s of %s."}`, path, credential)
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func newMixedUp(t *testing.T) *mixedUp {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m := &mixedUp{ln: ln}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.serve(c) })
		}
	})
	return m
}

func (m *mixedUp) serve(c net.Conn) {
	defer c.Close()
	var writing sync.Mutex
	send := func(s string) {
		writing.Lock()
		defer writing.Unlock()
		io.WriteString(c, s)
	}
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		answer := answerFor(req.Header.Get("Authorization"), req.URL.Path)
		if fault := m.fault.Load(); fault != nil {
			(*fault)(send, answer)
		} else {
			send(answer)
		}
	}
}

// mixUps are the ways in which an answer too many comes. Those that come with
// the answer are seen whatever happens; a late one may come while the next
// request is under way, and then only its own partition can take it.
var mixUps = map[string]struct {
	late  bool
	fault func(m *mixedUp) func(send func(string), answer string)
}{
	"in the same packet": {false, func(*mixedUp) func(func(string), string) {
		return func(send func(string), answer string) { send(answer + answer) }
	}},
	"after too short a length": {false, func(*mixedUp) func(func(string), string) {
		return func(send func(string), answer string) {
			head, body, _ := strings.Cut(answer, "\r\n\r\n")
			send(head + "\r\n\r\n" + body + answer[:len(answer)/2])
			send(answer[len(answer)/2:])
		}
	}},
	"3 ms late": {true, func(*mixedUp) func(func(string), string) {
		return func(send func(string), answer string) {
			send(answer)
			time.AfterFunc(3*time.Millisecond, func() { send(answer) })
		}
	}},
	"once in a whole run": {true, func(m *mixedUp) func(func(string), string) {
		return func(send func(string), answer string) {
			send(answer)
			if rand.IntN(100) == 0 && m.spent.CompareAndSwap(false, true) {
				time.AfterFunc(3*time.Millisecond, func() { send(answer) })
			}
		}
	}},
}

// TestNobodySeesAnothersAnswer: whatever an upstream says too much, no
// credential is shown a byte that was said to another, by any kind of request,
// then or later.
func TestNobodySeesAnothersAnswer(t *testing.T) {
	const connections, requests = 32, 400
	for name, mixUp := range mixUps {
		for _, credentials := range []int{2, 100} {
			t.Run(fmt.Sprintf("%s, %d credentials", name, credentials), func(t *testing.T) {
				m := newMixedUp(t)
				fault := mixUp.fault(m)
				m.fault.Store(&fault)
				f := newFace(t, nil)
				f.pointUnbroken("http://" + m.ln.Addr().String())
				run := &isolation{face: f, late: mixUp.late, credentials: credentials}
				each(requests, connections, run.request)
				m.fault.Store(nil)
				each(requests, connections, run.again) // what was stored then
				if answered := run.answered.Load(); answered < requests/2 {
					t.Errorf("only %d of %d requests were answered", answered, requests)
				}
				if run.foreign.Load() > 0 {
					t.Errorf("%d answers of %d held another credential's bytes", run.foreign.Load(), run.answered.Load())
				}
				if run.shifted.Load() > 0 {
					t.Errorf("%d answers of %d were those of another task", run.shifted.Load(), run.answered.Load())
				}
			})
		}
	}
}

// each calls f with 1 to n, on as many goroutines as said.
func each(n, goroutines int, f func(int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range goroutines {
		running.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	running.Wait()
}

// pointUnbroken points the upstreams to base. Their breakers stay closed.
func (f *face) pointUnbroken(base string) {
	f.t.Helper()
	all := upstreams(base)
	for name, u := range all {
		u.Breaker.Failures, u.Breaker.Minimum = 1<<30, 1<<30
		all[name] = u
	}
	f.replace(all, DefaultConfig())
}

type isolation struct {
	*face
	late                       bool
	credentials                int
	answered, foreign, shifted atomic.Int64
}

// request is the n-th request of a run: of five kinds in turn, each for a task
// of its own.
func (i *isolation) request(n int) {
	id := fmt.Sprintf("job%d", n)
	switch n % 5 {
	case 0:
		i.ask(n, "GET", "/v1/tasks/vessl/"+id, "", id)
	case 1:
		i.ask(n, "GET", "/native/vessl/async/"+id+"/output", "", id)
	case 2:
		i.ask(n, "GET", "/native/vessl/files/"+id, "", id)
	case 3:
		i.ask(n, "POST", "/native/vessl/async", `{"x":1}`, "/async")
	case 4:
		i.ask(n, "POST", "/v1/tasks/batch", `{"tasks":["vessl/`+id+`a","vessl/`+id+`b","vessl/`+id+`c"]}`, id+"a", id+"b", id+"c")
	}
}

// again asks for the task of the n-th request once more.
func (i *isolation) again(n int) {
	switch id := fmt.Sprintf("job%d", n); n % 5 {
	case 0:
		i.ask(n, "GET", "/native/vessl/async/"+id+"/output", "", id)
	case 1:
		i.ask(n, "GET", "/v1/tasks/vessl/"+id, "", id)
	case 4:
		i.ask(n, "GET", "/v1/tasks/vessl/"+id+"b", "", id+"b")
	}
}

func (i *isolation) ask(n int, method, path, body string, about ...string) {
	who := fmt.Sprintf("Bearer key-%d", n%i.credentials)
	a := i.do(method, path, body, "Authorization: "+who)
	if a.StatusCode != 200 {
		return
	}
	i.answered.Add(1)
	if strings.Count(a.body, "Bearer key-") != strings.Count(a.body, " of "+who+".") {
		i.foreign.Add(1)
	}
	if i.late {
		return
	}
	for said := range strings.SplitSeq(a.body, `"output":"`) {
		if path, _, ok := strings.Cut(said, " of Bearer "); ok && !strings.Contains(path, about[0]) {
			i.shifted.Add(1)
		} else if ok && len(about) > 1 {
			about = about[1:]
		}
	}
}
