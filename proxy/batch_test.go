package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

type batchResult struct {
	Task        json.RawMessage `json:"task"`
	StatusCode  int             `json:"status_code"`
	CacheStatus *string         `json:"cache_status"`
	Age         *int            `json:"age"`
	Document    json.RawMessage `json:"document"`
	Problem     *struct {
		Type   string
		Status int
		Detail string
	} `json:"problem"`
}

func (f *face) batch(body string, headers ...string) []batchResult {
	f.t.Helper()
	a := f.do("POST", "/v1/tasks/batch", body, headers...)
	a.expect(f.t, 200, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"})
	var out struct{ Results []batchResult }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		f.t.Fatalf("%v: %s", err, a.body)
	}
	return out.Results
}

func TestBatch(t *testing.T) {
	f := newFace(t, nil)
	single := f.do("GET", "/v1/tasks/shannon/a", "", key1)
	refs := []string{
		`"shannon/a"`, `{"upstream":"shannon","id":["b"]}`, `"nope/a"`, `"shannon/a/b"`, `"orq/agent/x"`,
		`{"upstream":"shannon"}`, `{"upstream":"shannon","id":["a"],"extra":1}`, `7`, `null`, `"shannon/c?include=native"`, `"shannon/a"`,
	}
	got := f.batch(`{"tasks":[`+strings.Join(refs, ", ")+`],"wait":1,"until":"any","credentials":{"shannon":{"x-api-key":"one"}}}`, "Authorization: Bearer other")
	want := []int{200, 200, 404, 400, 401, 400, 400, 400, 400, 400, 200}
	if len(got) != len(want) {
		t.Fatalf("got %d results, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.StatusCode != want[i] || string(r.Task) != refs[i] {
			t.Errorf("%s: got %d for %s, want %d", refs[i], r.StatusCode, r.Task, want[i])
		}
		if ok := r.StatusCode == 200; ok != (r.Document != nil && r.CacheStatus != nil && r.Age != nil) || ok == (r.Problem != nil) {
			t.Errorf("%s: got %+v", refs[i], r)
		}
		if r.Problem != nil && r.Problem.Status != r.StatusCode {
			t.Errorf("%s: got %+v", refs[i], r.Problem)
		}
	}
	if string(got[0].Document) != single.body || !strings.HasPrefix(*got[0].CacheStatus, "pollux; hit") {
		t.Errorf("got %s with %s", got[0].Document, *got[0].CacheStatus)
	}
	if n := f.polls.Load(); n != 2 {
		t.Errorf("got %d upstream polls, want 2", n)
	}
	if got := f.batch(`{"tasks":[]}`); len(got) != 0 {
		t.Errorf("an empty batch has results: %v", got)
	}
}

// Cache-Control of a batch holds for each of its references.
func TestBatchCacheControl(t *testing.T) {
	f, _ := movingFace(t)
	f.poller.Upstream([]byte("vessl")).Config.Freshness.InProgress = time.Minute
	f.do("GET", "/v1/tasks/vessl/job1", "", vesslKey)
	ask := func(directive string, wait int) (all []string) {
		for _, r := range f.batch(fmt.Sprintf(`{"tasks":["vessl/job1","vessl/job2"],"wait":%d}`, wait), vesslKey, "Cache-Control: "+directive) {
			if said := ""; r.Problem == nil {
				said, _, _ = strings.Cut(*r.CacheStatus, "; ttl")
				all = append(all, said)
			} else {
				all = append(all, fmt.Sprint(r.StatusCode, " ", r.Problem.Type))
			}
		}
		return all
	}
	began := time.Now()
	if got := ask("only-if-cached", 30); len(got) != 2 || got[0] != "pollux; hit" || !strings.HasSuffix(got[1], "not-cached") || f.polls.Load() != 1 {
		t.Errorf("only-if-cached: %q, %d polls", got, f.polls.Load())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("only-if-cached waited for %v, with nothing to come", took)
	}
	time.Sleep(600 * time.Millisecond) // poll.min
	if got := ask("no-cache", 0); len(got) != 2 || got[0] != "pollux; fwd=request; stored" || got[1] != "pollux; fwd=uri-miss; stored" {
		t.Errorf("no-cache: %q", got)
	}
}

// TestBatchCredentials: none goes to an upstream that it was not meant for.
func TestBatchCredentials(t *testing.T) {
	f := newFace(t, nil)
	var mu sync.Mutex
	seen := map[string]string{}
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[lastSegment(r)] = r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
		mu.Unlock()
		if strings.Contains(r.URL.Path, "responses") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":%q,"status":"queued"}`, lastSegment(r))
			return
		}
		runningShannon(w, r)
	})
	codes := func(results []batchResult) string {
		var s []string
		for _, r := range results {
			s = append(s, fmt.Sprint(r.StatusCode))
		}
		return strings.Join(s, " ")
	}
	for _, c := range []struct{ tasks, credentials, codes, seen string }{
		{`"vessl/a1"`, ``, "200", "map[output:own]"},
		{`"vessl/a2","orq/g/b2"`, ``, "401 401", "map[]"},
		{`"vessl/a3","orq/g/b3"`, `"vessl":{"Authorization":"v"}`, "200 401", "map[output:v]"},
		{`"vessl/a4","held/b4"`, ``, "200 200", "map[b4:held-secret output:own]"},
		{`"vessl/a5"`, `"vessl":{"Authorization":"v"}`, "200", "map[output:v]"},
		{`"vessl/a6"`, `"vessl":{}`, "401", "map[]"},
		{`"vessl/a7","nope/x"`, `"orq":{"Authorization":"o"}`, "200 404", "map[output:own]"},
	} {
		clear(seen)
		got := f.batch(`{"tasks":[`+c.tasks+`],"credentials":{`+c.credentials+`}}`, "Authorization: own")
		if codes(got) != c.codes || fmt.Sprint(seen) != c.seen {
			t.Errorf("%s with {%s}: got %s, upstreams saw %v; want %s, %s", c.tasks, c.credentials, codes(got), seen, c.codes, c.seen)
		}
	}
}

func TestBadBatches(t *testing.T) {
	f := newFace(t, func(c *Config) { c.Limits.Batch = 3 })
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for _, body := range []string{
		`{`, `[]`, `null`, `"x"`, `{"tasks":null}`, `{"tasks":{}}`, `{"tasks":"shannon/a"}`, `{}`, `{"Tasks":[]}`, `{"tasks":[],"x":1}`,
		`{"tasks":[],"tasks":[]}`, `{"tasks":[{"upstream":"a","upstream":"b"}]}`, `{"tasks":[` + deep + `]}`, `{"tasks":[]} {}`, `{"tasks":[]}]`,
		`{"tasks":[],"wait":-1}`, `{"tasks":[],"wait":1.5}`, `{"tasks":[],"wait":"1"}`, `{"tasks":[],"wait":null}`, `{"tasks":[],"until":"some"}`, `{"tasks":[],"until":null}`,
		`{"tasks":["a","b","c","d"]}`, `{"tasks":["shannon/\ud800"]}`, "{\"tasks\":[\"\xff\"]}", `{"tasks":[],"credentials":[]}`, `{"tasks":[],"credentials":{"nope":{}}}`,
		`{"tasks":[],"credentials":{"held":{"X-API-Key":"k"}}}`, `{"tasks":[],"credentials":{"orq":{"Cookie":"secret"}}}`,
		`{"tasks":[],"credentials":{"orq":{"Authorization":"sec\nret"}}}`, `{"tasks":[],"credentials":{"orq":{"Authorization":"a","authorization":"b"}}}`,
		`{"tasks":[],"credentials":{"orq":{"Authorization":7}}}`, `{"tasks":[],"credentials":{"orq":null}}`,
	} {
		p := f.do("POST", "/v1/tasks/batch", body).problem(t, 400, "invalid-request")
		if detail := fmt.Sprint(p["detail"]); strings.Contains(detail, "secret") || detail == "" {
			t.Errorf("%s: got detail %q", body, detail)
		}
	}
	f.do("POST", "/v1/tasks/batch", zipped(`{"tasks":[]}`), "Content-Encoding: gzip").problem(t, 415, "about:blank")
	if a := f.do("POST", "/v1/tasks/batch", `{"tasks":[]}`, "Content-Encoding: identity"); a.StatusCode != 200 {
		t.Errorf("a coding that is none: got %d", a.StatusCode)
	}
	for _, wait := range []string{"0", "1.0", "1e0", "99999999999999999999"} { // no task, so nothing to wait for
		if a := f.do("POST", "/v1/tasks/batch", `{"tasks":[],"wait":`+wait+`}`); a.StatusCode != 200 {
			t.Errorf("wait %s: got %d", wait, a.StatusCode)
		}
	}
	f.do("POST", "/v1/tasks/batch?wait=1", `{"tasks":[]}`).problem(t, 400, "invalid-request")
	if got := f.batch(`{"tasks":["gumloop/a?user_id=u&api_key=secret"]}`); string(got[0].Task) != "null" || got[0].StatusCode != 400 {
		t.Errorf("a key in a reference: got %s", got[0].Task)
	}
}

// TestBatchIsConcurrent, within bounds, and in the order of the request.
func TestBatchIsConcurrent(t *testing.T) {
	f := newFace(t, nil)
	var mu sync.Mutex
	running, most := 0, 0
	both := make(chan struct{})
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		running++
		if most = max(most, running); most == 2 && running == 2 {
			select {
			case <-both:
			default:
				close(both)
			}
		}
		mu.Unlock()
		select {
		case <-both:
		case <-time.After(5 * time.Second):
		}
		runningShannon(w, r)
		mu.Lock()
		running--
		mu.Unlock()
	})
	var refs []string
	for i := range 300 {
		refs = append(refs, fmt.Sprintf(`"shannon/t%d"`, i))
	}
	for i, r := range f.batch(`{"tasks":[` + strings.Join(refs, ",") + `]}`) {
		if string(r.Task) != refs[i] || !strings.Contains(string(r.Document), fmt.Sprintf(`"id":"t%d"`, i)) {
			t.Fatalf("result %d is %s with %s", i, r.Task, r.Document)
		}
	}
	if most < 2 || most > 64 {
		t.Errorf("%d polls at the same time, want 2 to %d", most, 64)
	}
}
