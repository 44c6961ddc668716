package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/problem"
)

// told records the entries that an engine publishes.
type told struct {
	mu      sync.Mutex
	entries []*cache.Entry
	refused int
}

func (o *told) Published(e *cache.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = append(o.entries, e)
}
func (o *told) Lost(*cache.ID, *problem.Problem) {}
func (o *told) Resumed(*cache.ID)                {}

func (o *told) Suspended(*cache.ID, *problem.Problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused++
}

func (o *told) last() *cache.Entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.entries) == 0 {
		return nil
	}
	return o.entries[len(o.entries)-1]
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func coded(write func(io.Writer, []byte) (int, error), s string) string {
	var b bytes.Buffer
	_, _ = write(&b, []byte(s)) // into memory
	return b.String()
}

func zstandard(s string) string {
	return coded(func(w io.Writer, p []byte) (int, error) { return fasthttp.WriteZstdLevel(w, p, 1) }, s)
}

// TestNativeCreate: when the answer to a create has arrived, its task is known.
func TestNativeCreate(t *testing.T) {
	f := newFace(t, nil)
	o := &told{}
	f.poller.Observe(o)
	const key = "Authorization: Bearer one"
	for _, c := range []struct {
		name, path, request string
		code                int
		contentType, coding string
		answer              string
		ref, created        string // "" for none
	}{
		{"shannon", "/native/shannon/api/v1/tasks", `{}`, 200, "application/json", "", `{"task_id":"task-00-1700000000","status":"STATUS_CODE_OK"}`,
			"shannon/task-00-1700000000", "2023-11-14T22:13:20Z"},
		{"201 and a charset", "/native/vessl/async", `{}`, 201, "application/json; charset=utf-8", "", `{"id":"v1"}`, "vessl/v1", ""},
		{"path parameter", "/native/orq/v2/agents/my%20agent%2Fx/responses", `{}`, 200, "application/json", "",
			`{"_id":"r","task_id":"o1","output":[],"created_at":"2026-11-20T10:00:00.000Z","model":"m","status":"in_progress"}`,
			"orq/my%20agent%2Fx/o1", "2026-11-20T10:00:00Z"},
		{"parameter in the body", "/native/gumloop/start_agent", `{"user_id":"u 1"}`, 200, "application/json", "", `{"interaction_id":"g1"}`, "gumloop/g1?user_id=u%201", ""},
		{"compressed", "/native/vessl/async", `{}`, 201, "application/json", "gzip", zipped(`{"id":"v2"}`), "vessl/v2", ""},
		{"gzip in two members", "/native/vessl/async", `{}`, 201, "application/json", "gzip", zipped(`{"id":`) + zipped(`"v20"}`), "vessl/v20", ""},
		{"br", "/native/vessl/async", `{}`, 201, "application/json", "br", coded(fasthttp.WriteBrotli, `{"id":"v21"}`), "vessl/v21", ""},
		{"zstd", "/native/vessl/async", `{}`, 201, "application/json", "zstd", zstandard(`{"id":"v22"}`), "vessl/v22", ""},
		{"deflate", "/native/vessl/async", `{}`, 201, "application/json", "deflate", coded(fasthttp.WriteDeflate, `{"id":"v23"}`), "vessl/v23", ""},
		{"deflate without its frame", "/native/vessl/async", `{}`, 201, "application/json", "deflate", coded(fasthttp.WriteDeflate, `{"id":"v26"}`)[2:], "vessl/v26", ""},
		{"a list of codings", "/native/vessl/async", `{}`, 201, "application/json", "identity, gzip", zipped(`{"id":"v27"}`), "vessl/v27", ""},
		{"gzip in gzip", "/native/vessl/async", `{}`, 201, "application/json", "gzip, x-gzip", zipped(zipped(`{"id":"v28"}`)), "vessl/v28", ""},
		{"a coding of nobody", "/native/vessl/async", `{}`, 201, "application/json", "lzma", `{"id":"v24"}`, "", ""},
		{"a bomb", "/native/vessl/async", `{}`, 201, "application/json", "br", coded(fasthttp.WriteBrotli, `{"id":"v25","x":"`+strings.Repeat("x", 8<<20)+`"}`), "", ""},
		{"refused", "/native/vessl/async", `{}`, 422, "application/json", "", `{"id":"v3"}`, "", ""},
		{"a stream", "/native/vessl/async", `{}`, 200, "text/event-stream", "", `{"id":"v4"}`, "", ""},
		{"not a create", "/native/vessl/other", `{}`, 200, "application/json", "", `{"id":"v5"}`, "", ""},
		{"parameter missing", "/native/gumloop/start_agent", `{}`, 200, "application/json", "", `{"interaction_id":"g2"}`, "", ""},
		{"too long", "/native/vessl/async", `{}`, 200, "application/json", "", `{"id":"v6","x":"` + strings.Repeat("x", 1<<20) + `"}`, "", ""},
	} {
		o.mu.Lock()
		o.entries = nil
		o.mu.Unlock()
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", c.contentType)
			if c.coding != "" {
				w.Header().Set("Content-Encoding", c.coding)
			}
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, c.answer)
		})
		a := f.do("POST", c.path, c.request, key, "Accept-Encoding: gzip")
		if a.StatusCode != c.code || a.body != c.answer {
			t.Errorf("%s: code %d, %d bytes", c.name, a.StatusCode, len(a.body))
		}
		e := o.last()
		if c.ref == "" || e == nil {
			if c.ref != "" || e != nil {
				t.Errorf("%s: %v became known, want %q", c.name, e, c.ref)
			}
			continue
		}
		var doc struct {
			Status    string  `json:"status"`
			Native    *string `json:"native_status"`
			CreatedAt *string `json:"created_at"`
			Terminal  bool    `json:"terminal"`
		}
		must(t, json.Unmarshal(e.Document, &doc))
		created := ""
		if doc.CreatedAt != nil {
			created = *doc.CreatedAt
		}
		if e.Ref != c.ref || doc.Status != "queued" || doc.Native != nil || doc.Terminal || created != c.created || !e.Submitted {
			t.Errorf("%s: %s %s", c.name, e.Ref, e.Document)
		}
	}
}

// TestNativeCreateCodings: a create is answered in what Pollux can read, and may
// itself be compressed.
func TestNativeCreateCodings(t *testing.T) {
	f := newFace(t, nil)
	o := &told{}
	f.poller.Observe(o)
	var offered atomic.Value
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		offered.Store(strings.Join(r.Header.Values("Accept-Encoding"), ", "))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"interaction_id":"g1"}`)
	})
	for _, c := range []struct {
		name, path string
		headers    []string
		want       string
	}{
		{"as asked", "/native/gumloop/start_agent", []string{"Accept-Encoding: gzip, br;q=0.5"}, "gzip, br;q=0.5"},
		{"of several lines", "/native/gumloop/start_agent", []string{"Accept-Encoding: dcz", "Accept-Encoding: ZSTD, *"}, "ZSTD"},
		{"nothing that is readable", "/native/gumloop/start_agent", []string{"Accept-Encoding: compress"}, "identity"},
		{"no create", "/native/gumloop/other", []string{"Accept-Encoding: compress"}, "compress"},
	} {
		a := f.do("POST", c.path, zipped(`{"user_id":"u1"}`), append(c.headers, "Authorization: Bearer one", "Content-Encoding: gzip")...)
		if a.StatusCode != 200 || offered.Load() != c.want {
			t.Errorf("%s: code %d, %q was offered, want %q", c.name, a.StatusCode, offered.Load(), c.want)
		}
	}
	if e := o.last(); e == nil || e.Ref != "gumloop/g1?user_id=u1" {
		t.Errorf("%v became known of a create that was compressed", e)
	}
}

// TestNativeCreateRace: an upstream that denies a task whose id it has just
// given is not believed at once, and the placeholder answers no poll.
func TestNativeCreateRace(t *testing.T) {
	f := newFace(t, nil)
	o := &told{}
	f.poller.Observe(o)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == "POST" {
			_, _ = io.WriteString(w, `{"task_id":"t1","status":"STATUS_CODE_OK"}`)
			return
		}
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"error":"Task not found"}`)
	})
	const key = "X-API-Key: one"
	f.do("POST", "/native/shannon/api/v1/tasks", `{}`, key)
	for range 2 {
		if a := f.do("GET", "/v1/tasks/shannon/t1", "", key); a.StatusCode != 404 || !strings.Contains(a.body, "task-not-found") {
			t.Errorf("unified: %d %s", a.StatusCode, a.body)
		}
		if a := f.do("GET", nativeTask, "", key); a.StatusCode != 404 || a.body != `{"error":"Task not found"}` {
			t.Errorf("native: %d %s", a.StatusCode, a.body)
		}
	}
	f.answer(runningShannon)
	time.Sleep(1100 * time.Millisecond) // the provider's minimum between two polls of a task
	if a := f.do("GET", "/v1/tasks/shannon/t1?include=history", "", key); !strings.Contains(a.body, `"status":"in_progress"`) || !strings.Contains(a.body, `"history":[{"status":"queued"`) {
		t.Errorf("once it is there: %s", a.body)
	}
	f.do("POST", "/native/shannon/api/v1/tasks", `{}`, key)
	if a := f.do("GET", "/v1/tasks/shannon/t1", "", key); !strings.HasPrefix(a.Header.Get("Cache-Status"), "pollux; hit") {
		t.Errorf("a create that names a known task changed it: %v", a.Header)
	}
}

// TestNativePlaceholderAlone: before the first poll was answered there is
// nothing native to show.
func TestNativePlaceholderAlone(t *testing.T) {
	f := newFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"task_id":"t1"}`)
	})
	const key = "X-API-Key: one"
	f.do("POST", "/native/shannon/api/v1/tasks", `{}`, key)
	if a := f.do("GET", "/v1/tasks/shannon/t1?include=native", "", key); a.StatusCode != 200 || !strings.HasSuffix(a.body, `,"native":null}`) {
		t.Errorf("unified: %d %s", a.StatusCode, a.body)
	}
	if a := f.do("GET", nativeTask, "", key); a.StatusCode != 502 {
		t.Errorf("native: %d %s", a.StatusCode, a.body)
	}
}

// TestNativeFence: a poll that was under way when a request passed that
// changes its task stores nothing, and the next one asks again.
func TestNativeFence(t *testing.T) {
	const orq = `{"_id":"r1","task_id":"%s","output":[],"created_at":"2026-11-20T10:00:00.000Z","model":"m","status":"completed"}`
	for _, c := range []struct{ name, poll, method, path, body, format string }{
		{"cancel", "/native/shannon/api/v1/tasks/t1", "POST", "/native/shannon/api/v1/tasks/t1/cancel", "", runningBody},
		{"touch", "/native/shannon/api/v1/tasks/t1", "POST", "/native/shannon/api/v1/tasks/t1/pause", `{"reason":"x"}`, runningBody},
		{"continue", "/native/orq/v2/agents/a/responses/t1", "POST", "/native/orq/v2/agents/a/responses", `{"task_id":"t1"}`, orq},
	} {
		f := newFace(t, nil)
		const key = "Authorization: Bearer one"
		asked, release := make(chan struct{}, 1), make(chan struct{})
		slow := true
		var polls int
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.Method != "GET" {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(202)
				_, _ = io.WriteString(w, `{"success":true}`)
				return
			}
			polls++
			if slow {
				asked <- struct{}{}
				<-release
			}
			_, _ = io.WriteString(w, strings.ReplaceAll(c.format, "%s", "t1"))
		})
		before := make(chan *answer)
		go func() { before <- f.do("GET", c.poll, "", key) }()
		<-asked
		if a := f.do(c.method, c.path, c.body, key); a.StatusCode != 202 {
			t.Errorf("%s: %d %s", c.name, a.StatusCode, a.body)
		}
		slow = false
		close(release)
		if a := <-before; a.StatusCode != 200 || strings.Contains(a.Header.Get("Cache-Status"), "; stored") {
			t.Errorf("%s: the poll under way: %d, %s", c.name, a.StatusCode, a.Header.Get("Cache-Status"))
		}
		if a := f.do("GET", c.poll, "", key); !strings.Contains(a.Header.Get("Cache-Status"), "fwd=") || polls != 2 {
			t.Errorf("%s: the next poll: %s, %d polls", c.name, a.Header.Get("Cache-Status"), polls)
		}
		// Now an answer is fresh; a second change makes it old at once.
		if a := f.do("GET", c.poll, "", key); !strings.HasPrefix(a.Header.Get("Cache-Status"), "pollux; hit") {
			t.Errorf("%s: in between: %s", c.name, a.Header.Get("Cache-Status"))
		}
		f.do(c.method, c.path, c.body, key)
		if a := f.do("GET", c.poll, "", key); !strings.Contains(a.Header.Get("Cache-Status"), "fwd=stale") || polls != 3 {
			t.Errorf("%s: after another change: %s, %d polls", c.name, a.Header.Get("Cache-Status"), polls)
		}
	}
}

// TestNativeRefusedCredential: a key that a forwarded request shows to be
// refused is shown nothing that is stored.
func TestNativeRefusedCredential(t *testing.T) {
	f := newFace(t, nil)
	o := &told{}
	f.poller.Observe(o)
	const key = "X-API-Key: one"
	f.do("GET", nativeTask, "", key)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(401)
		_, _ = io.WriteString(w, `{"error":"Invalid token"}`)
	})
	if a := f.do("GET", "/native/shannon/api/v1/tasks", "", key); a.StatusCode != 401 || a.body != `{"error":"Invalid token"}` {
		t.Errorf("the list: %d %s", a.StatusCode, a.body)
	}
	if o.refused != 1 {
		t.Errorf("%d suspensions were told", o.refused)
	}
	if a := f.do("GET", "/v1/tasks/shannon/t1", "", key); a.StatusCode != 401 {
		t.Errorf("a stored task: %d %s", a.StatusCode, a.body)
	}
}

// TestNativeLinks: of a create's answer only the declared link changes.
func TestNativeLinks(t *testing.T) {
	for public, prefix := range map[string]string{"": "", "https://pollux.test/p/": "https://pollux.test/p"} {
		f := newFace(t, func(c *Config) { c.PublicURL = public })
		o := &told{}
		f.poller.Observe(o)
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") == "br" {
				t.Error("a body that has to be read was asked for in a coding that cannot be")
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Link", "</api/v1/stream/sse?workflow_id=a>; rel=stream")
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(201)
			_, _ = io.WriteString(w, ` {"n":1.0, "stream_url": "\/api/v1/stream/sse?workflow_id=a&b=<c>","task_id":"a" , "other":"/api/v1/x"} `+"\n")
		})
		a := f.do("POST", "/native/shannon/api/v1/tasks/stream", `{}`, "X-API-Key: one", "Accept-Encoding: br")
		want := ` {"n":1.0, "stream_url": "` + prefix + `/native/shannon/api/v1/stream/sse?workflow_id=a&b=<c>","task_id":"a" , "other":"/api/v1/x"} ` + "\n"
		if a.StatusCode != 201 || a.body != want || a.ContentLength != int64(len(want)) || a.Header.Get("ETag") != "" {
			t.Errorf("%d %v %q", a.StatusCode, a.Header, a.body)
		}
		if got := a.Header.Get("Link"); got != "<"+prefix+"/native/shannon/api/v1/stream/sse?workflow_id=a>; rel=stream" {
			t.Errorf("Link %q", got)
		}
		if e := o.last(); e == nil || e.Ref != "shannon/a" {
			t.Errorf("registered %v", e)
		}
	}
}

// TestNativeLinksNotRead: what cannot be rewritten passes whole.
func TestNativeLinksNotRead(t *testing.T) {
	f := newFace(t, nil)
	for _, body := range []string{
		`{"stream_url":"/api/v1/x"`, "", "[1", `{"stream_url":"/api/v1/x","x":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush() // no length
			_, _ = io.WriteString(w, body)
		})
		if a := f.do("POST", "/native/shannon/api/v1/tasks/stream", `{}`, "X-API-Key: one"); a.body != body {
			t.Errorf("%d of %d bytes arrived, or others", len(a.body), len(body))
		}
	}
}

// TestNativeSecrets: nothing that a caller or Pollux itself sends as a
// credential shows in logs and metrics.
func TestNativeSecrets(t *testing.T) {
	f := newFace(t, withClients)
	f.answer(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	const marker = "marker-5f2a"
	for _, path := range []string{
		"/native/shannon/api/v1/tasks", nativeTask, "/native/gumloop/agent_status/a?user_id=u&api_key=" + marker, "/native/gumloop/x?api_key=" + marker, "/native/" + marker,
	} {
		for _, method := range []string{"GET", "POST"} {
			f.do(method, path, "", "X-Pollux-Key: key-all", "X-API-Key: "+marker, "Authorization: Bearer "+marker)
			f.do(method, path, "", "X-Pollux-Key: "+marker)
		}
	}
	seen := f.log.String() + f.do("GET", "/metrics", "", "X-Pollux-Key: key-all").body
	for _, secret := range []string{marker, "key-all", "held-secret"} {
		if strings.Contains(seen, secret) {
			t.Errorf("%q is in the log or the metrics", secret)
		}
	}
	if !strings.Contains(seen, `pollux_forwarded_total{code="unreachable",upstream="shannon"} 3`) {
		t.Error("forwarded requests are not counted")
	}
}
