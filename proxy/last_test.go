package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// varying is what differs between two answers to the same request.
var varying = regexp.MustCompile(`(?m)^(Date|Age|X-Request-Id): .*$|ttl=-?[0-9]+|max-age=[0-9]+`)

// exchange sends what is given over one connection, each once the answer before
// has come, then closes its side, and returns all that was answered to the last.
func (f *face) exchange(requests ...string) string {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	defer c.Close()
	must(f.t, c.SetDeadline(time.Now().Add(30*time.Second)))
	answer := make([]byte, 64<<10)
	for _, r := range requests[:len(requests)-1] {
		_, err := io.WriteString(c, r)
		must(f.t, err)
		for n := 0; n == 0 || answer[n-1] != '}'; {
			k, err := c.Read(answer[n:])
			must(f.t, err)
			n += k
		}
		if !bytes.Contains(answer, []byte("pollux; hit")) {
			f.t.Fatalf("%q is no hit: %.300s", r, answer)
		}
	}
	_, _ = io.WriteString(c, requests[len(requests)-1]) // the server may have refused its beginning
	_ = c.(*net.TCPConn).CloseWrite()
	rest, _ := io.ReadAll(c)
	return varying.ReplaceAllString(string(rest), "")
}

// remembered returns how next is answered on a connection that remembers first,
// and how on a new one. The upstream is asked once a second at most, also by
// no-cache, and that second may end between the two: a difference is one that
// stays.
func (f *face) remembered(first, next string) (got, want string) {
	f.t.Helper()
	for range 3 {
		if got, want = f.exchange(first, first, next), f.exchange(next); got == want {
			break
		}
	}
	return got, want
}

// mutant changes a request somewhere.
func mutant(g *rand.Rand, request string) string {
	b := []byte(request)
	pieces := []string{"\r\n", "\n", " ", "\t", ":", "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "X-API-Key: other\r\n",
		"Cache-Control: no-cache\r\n", "If-None-Match: *\r\n", "Accept: text/event-stream\r\n", "Connection: close\r\n", "Cookie: a=b\r\n", "?include=history", "Host: evil\r\n"}
	for range 1 + g.IntN(2) {
		at := g.IntN(len(b))
		switch g.IntN(5) {
		case 0:
			b[at] = byte(g.IntN(256))
		case 1:
			b[at] ^= 0x20
		case 2:
			b = append(b[:at:at], b[at+1:]...)
		case 3:
			lines := strings.SplitAfter(string(b), "\r\n")
			at := 1 + g.IntN(max(1, len(lines)-1))
			lines[min(at, len(lines)-1)] = pieces[g.IntN(len(pieces))] + lines[min(at, len(lines)-1)]
			b = []byte(strings.Join(lines, ""))
		default:
			piece := pieces[g.IntN(len(pieces))]
			b = append(b[:at:at], piece+string(b[at:])...)
		}
	}
	return string(b)
}

// TestRememberedRequestHidesNothing: whatever follows a request that a connection
// remembers is answered as it is on a new connection.
func TestRememberedRequestHidesNothing(t *testing.T) {
	f := newFace(t, nil)
	f.level.Set(slog.LevelInfo)
	f.exchange(hitRequest)
	g := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		next := mutant(g, hitRequest)
		if i%4 == 3 { // in one read with the one that is remembered
			next = hitRequest + next
		}
		f.exchange(next)
		if got, want := f.remembered(hitRequest, next); got != want {
			t.Fatalf("%q after a remembered request is answered\n%s\nand on a new connection\n%s", next, got, want)
		}
	}
	if got, want := f.exchange(hitRequest, hitRequest), f.exchange(hitRequest); got != want || !strings.Contains(got, "pollux; hit") {
		t.Errorf("the same request again is answered\n%s\nand at first\n%s", got, want)
	}
}

// TestRememberedCallerHidesNothing: whatever asks for something else in the words
// of a remembered request is answered as it is on a new connection.
func TestRememberedCallerHidesNothing(t *testing.T) {
	f := newFace(t, nil)
	f.level.Set(slog.LevelInfo)
	all := upstreams(f.base)
	gemini := all["shannon"]
	gemini.Provider = "gemini-batches"
	all["gemini"] = gemini
	f.replace(all, DefaultConfig())
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, "/v1beta/"); ok {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"name":%q,"metadata":{"state":"BATCH_STATE_SUCCEEDED"},"done":true}`, id)
			return
		}
		completedShannon(w, r)
	})
	inQuery := strings.NewReplacer("/shannon/t1", "/gemini/t1?key=k", "X-API-Key:", "X-Other:").Replace(hitRequest)
	for _, first := range []string{hitRequest, strings.Replace(hitRequest, "/t1", "/t1?wait=0", 1), inQuery} {
		f.exchange(first)
		for _, target := range []string{
			"/v1/tasks/shannon/t2", "/v1/tasks/shannon/t2?include=history", "/v1/tasks/shannon/t2?", "/v1/tasks/shannon/t2?wait=1", "/v1/tasks/shannon/t2#f",
			"/v1/tasks/held/t1", "/v1/tasks/vessl/t1", "/v1/tasks/nope/t1", "/v1/tasks//t1", "/v1/tasks/shannon", "/v1/tasks/shannon/", "/v1/tasks/shannon/t2/x",
			"/v1/tasks/shannon/a%2Fb", "/v1/tasks/shannon/%74%32", "/v1/tasks/shannon/../shannon/t1", "/v1/tasks/shannon/t\\2", "/v1/tasks/shannon/t2 x",
			"/v1/tasks/shannon/" + strings.Repeat("t", 9000), "http://localhost:8080/v1/tasks/shannon/t2", "http://evil/v1/tasks/shannon/t2", "*", "/", "/v1/tasks",
			"/v1/tasks/batch", "/V1/tasks/shannon/t2", "/native/shannon/api/v1/tasks/t2", "/v1/tasks/gemini/t1", "/v1/tasks/gemini/t2", "/v1/tasks/gemini/t1?key=other", "/healthz",
		} {
			old, _, _ := strings.Cut(strings.TrimPrefix(first, "GET "), " ")
			next := strings.Replace(first, old, target, 1)
			f.exchange(next)
			if got, want := f.remembered(first, next); got != want {
				t.Errorf("%s after %s is answered\n%s\nand on a new connection\n%s", target, old, got, want)
			}
		}
	}
}

// TestRememberedRequestIsTraced: who repeats a request learns its span, each time
// another one.
func TestRememberedRequestIsTraced(t *testing.T) {
	tracer, flush := newOTLP(t).tracer(t)
	defer flush()
	f := newTracedFace(t, nil, tracer)
	poll := f.warm(hitRequest)
	span := regexp.MustCompile("Traceparent: .*")
	_, one := poll()
	_, two := poll()
	if a, b := span.FindString(one), span.FindString(two); a == "" || a == b {
		t.Errorf("got %q, then %q", a, b)
	}
}

// warm is a connection that remembers its request.
func (f *face) warm(request string) (poll func() (code int, head string)) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	must(f.t, err)
	f.t.Cleanup(func() { c.Close() })
	answer := make([]byte, 64<<10)
	poll = func() (code int, head string) {
		f.t.Helper()
		must(f.t, c.SetDeadline(time.Now().Add(30*time.Second)))
		_, err := io.WriteString(c, request)
		must(f.t, err)
		n := 0
		for n == 0 || answer[n-1] != '}' {
			k, err := c.Read(answer[n:])
			must(f.t, err)
			n += k
		}
		_, err = fmt.Sscanf(string(answer[:n]), "HTTP/1.1 %d", &code)
		must(f.t, err)
		head, _, _ = strings.Cut(string(answer[:n]), "\r\n\r\n")
		return code, head
	}
	poll()
	if code, head := poll(); code != 200 || !strings.Contains(head, "pollux; hit") {
		f.t.Fatalf("%q is answered %s", request, head)
	}
	return poll
}

// TestRememberedRequestKeepsNoRight: whoever loses a right loses it on connections
// that remember their request, too.
func TestRememberedRequestKeepsNoRight(t *testing.T) {
	withKey := strings.Replace(hitRequest, "Accept:", "X-Pollux-Key: key-all\r\nAccept:", 1)
	for _, tt := range []struct {
		name    string
		request string
		keyed   bool
		lose    func(f *face)
		code    int
	}{
		{"the client is gone", withKey, true, func(f *face) {
			cfg := DefaultConfig()
			withClients(&cfg)
			cfg.Clients = cfg.Clients[:1]
			must(f.t, f.reload(cfg))
		}, 401},
		{"keys are needed from now on", hitRequest, false, func(f *face) {
			cfg := DefaultConfig()
			withClients(&cfg)
			must(f.t, f.reload(cfg))
		}, 401},
		{"the upstream is gone", hitRequest, false, func(f *face) {
			all := upstreams(f.base)
			delete(all, "shannon")
			f.replace(all, DefaultConfig())
		}, 404},
		{"the upstream refuses the credential", hitRequest, false, func(f *face) {
			f.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
			f.do("GET", "/v1/tasks/shannon/another", "", "X-API-Key: sk-0123456789abcdef0123456789abcdef")
		}, 401},
		{"the task is forgotten", hitRequest, false, func(f *face) {
			f.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
			f.do("DELETE", "/v1/tasks/shannon/t1", "", "X-API-Key: sk-0123456789abcdef0123456789abcdef")
		}, 502}, // a 404 without a word is none of the vendor's
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFace(t, func(c *Config) {
				if tt.keyed {
					withClients(c)
				}
			})
			poll := f.warm(tt.request)
			tt.lose(f)
			if code, head := poll(); code != tt.code {
				t.Errorf("got %d, want %d:\n%s", code, tt.code, head)
			}
		})
	}
}

// TestRememberedRequestIsAskedAgain: stored answers are shown to a credential for
// reauthorize only, and so are those of remembered requests.
func TestRememberedRequestIsAskedAgain(t *testing.T) {
	f := newFace(t, nil)
	all := upstreams(f.base)
	c := all["shannon"]
	c.Reauthorize = time.Second
	all["shannon"] = c
	f.replace(all, DefaultConfig())
	poll := f.warm(hitRequest)
	before := f.polls.Load()
	time.Sleep(1100 * time.Millisecond)
	if code, head := poll(); code != 200 || strings.Contains(head, "pollux; hit") || f.polls.Load() != before+1 {
		t.Errorf("%d polls; got %d:\n%s", f.polls.Load()-before, code, head)
	}
}
