package sandbox

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/signatures"
)

// second is a provider whose API is not a GET that answers 200 with a word.
const second = `
name: second
docs: https://second.example/docs
verified: 2026-11-28
base_url: https://second.example
identity: {headers: [Authorization], scheme: Bearer}
params:
  name: {in: body, task: true, pattern: 'op-[a-z0-9-]+'}
poll: {request: POST /v1/query, body: {operation: '{name}'}, safe: true, documents: [200, 202], min: 1s, first: 1s, max: 5s}
create: {request: POST /v1/start, id: {header: Location, match: '/(op-.+)$'}}
cancel: {request: DELETE /v1/operations, body: {operation: '{name}'}}
sweep: {request: GET /v1/operations, items: all, id: name, next: {path: more, param: page}}
inbound: {id: about, verify: {hmac: sha256, header: X-Signature, signed: ['{timestamp}', '.', '{body}'], timestamp: {header: X-Time}}}
status:
  path: state
  codes: {202: in_progress}
  words: {DONE: completed, BROKEN: failed}
fields: {id: name, output.text: text, error.message: why}
simulation:
  id: op-{hex:8}
  values: {head: '"name": "{id}", "link": "{base}/v1/results/{hex:6}"'}
  states:
    running: {status: in_progress, code: 202}
    listed: {status: in_progress, code: 202, body: '{{head}, "state": "BUSY"}'}
    done: {status: completed, body: '{{head}, "state": "DONE", "text": "{canary}"}'}
    broken: {status: failed, body: '{{head}, "state": "BROKEN", "why": "no"}'}
  lifecycles:
    good: {weight: 1, path: [running 2s, done]}
    bad: {path: [broken]}
  create:
    - {code: 202, headers: {Location: '{base}/v1/{id}'}, body: '{}'}
  cancel: {to: [broken], answer: {body: '{}'}}
  listing: {body: '{"all": [{tasks}], "more": "{cursor}"}', page: 2, item: '{{head}, "state": "DONE"}'}
  message: {body: '{"about": "{id}"}'}
`

func secondProvider(t *testing.T, text string) (*providers.Set, error) {
	t.Helper()
	return providers.Load(fstest.MapFS{"second.yaml": {Data: []byte(text)}})
}

func TestSecondEdition(t *testing.T) {
	// A listing that says that everything is done is right about what is done.
	set, err := secondProvider(t, strings.Replace(second, "next: {path: more, param: page}", "covers: [completed], next: {path: more, param: page}", 1))
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	s := newServer(t, set, Options{Now: c.now})
	me := caller{t, s, set.Get("second"), "me"}
	started := me.send("POST", "/v1/start", "{}")
	location := started.Header().Get("Location")
	id := providers.CreatedID(&me.p.Creates[0], started.Header(), started.Body.Bytes())
	if id == "" || !strings.HasPrefix(location, "http://example.com/second/v1/op-") {
		t.Fatalf("Location %q names the task %q", location, id)
	}
	query := `{"operation": "` + id + `"}`
	if got := me.send("POST", "/v1/query", query); got.Code != 202 || got.Body.Len() != 0 {
		t.Errorf("a poll while it runs: %d %q, want 202 and no body", got.Code, got.Body)
	}
	c.pass(3e9)
	if got := me.send("POST", "/v1/query", query); gjson.Get(got.Body.String(), "name").String() != id {
		t.Errorf("a poll at the end: %d %s", got.Code, got.Body)
	}
	if got := (caller{t, s, me.p, "another"}).send("POST", "/v1/query", query); got.Code != 404 {
		t.Errorf("a poll with another credential: %d %s", got.Code, got.Body)
	}
	me.send("POST", "/v1/start", "{}")
	me.send("POST", "/v1/start", "{}")
	if ended := me.send("GET", "/v1/operations", "").Body.String(); gjson.Get(ended, "all.#").Int() != 1 {
		t.Errorf("a listing of what has ended has %s", ended)
	}
	c.pass(3e9)
	first := gjson.Parse(me.send("GET", "/v1/operations", "").Body.String())
	rest := gjson.Parse(me.send("GET", "/v1/operations?page="+first.Get("more").String(), "").Body.String())
	if len(first.Get("all").Array()) != 2 || len(rest.Get("all").Array()) != 1 || rest.Get("all.0.name").String() != id || rest.Get("more").String() != "" {
		t.Errorf("the listing has the pages %s and %s, want the two newer tasks and the first", first.Raw, rest.Raw)
	}
}

func TestMessages(t *testing.T) {
	set, err := secondProvider(t, strings.Replace(second, "sweep: {", "sweep: {covers: [completed], ", 1))
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	s := newServer(t, set, Options{Now: c.now})
	p := set.Get("second")
	var about string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, err := p.Receive(r.Header, r.URL.Query(), body, signatures.Sender{Secret: "right"}, c.now())
		if about = m.TaskID; err != nil {
			w.WriteHeader(401)
		}
	}))
	defer receiver.Close()
	id, err := s.Create("second", nil, "me", "good")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{"right": 204, "wrong": 400} {
		got := control(s, "POST", "messages", `{"provider": "second", "id": "`+id+`", "url": "`+receiver.URL+`", "secret": "`+secret+`"}`)
		if got.Code != want {
			t.Errorf("a message signed with the %s secret: %d %s, want %d", secret, got.Code, got.Body, want)
		}
		if secret == "right" && about != id {
			t.Errorf("the message is about %q, want %q", about, id)
		}
	}
}

func TestVerifySecondEdition(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"a listing that says something else": {"next: {path: more, param: page}", "covers: [completed, failed], next: {path: more, param: page}", "listing: an item means completed, not failed"},
		"a listing without its items":        {`, item: '{{head}, "state": "DONE"}'`, "", "listing: state running has no body that could be listed"},
		"a message that names nothing":       {`message: {body: '{"about"`, `message: {body: '{"somebody"`, "message: does not name its task"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := secondProvider(t, strings.Replace(second, test.old, test.new, 1))
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(set.Get("second")); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Verify says %v, want %q", err, test.want)
			}
		})
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"no body and no code":       {"running: {status: in_progress, code: 202}", "running: {status: in_progress, code: 201}", "wants a body"},
		"a listing without a sweep": {"sweep: {request: GET /v1/operations, items: all, id: name, next: {path: more, param: page}}", "", "has no sweep"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := secondProvider(t, strings.Replace(second, test.old, test.new, 1)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Load says %v, want %q", err, test.want)
			}
		})
	}
}

func TestSlashesInAValue(t *testing.T) {
	r, err := parseRoute(poll, "GET /v1/{name}/result")
	if err != nil {
		t.Fatal(err)
	}
	r.slashes = "{name}"
	for path, want := range map[string]string{"/v1/a/result": "a", "/v1/a/b/c/result": "a/b/c", "/v1/result": "", "/v1/a/b": ""} {
		if got, _ := r.match("GET", path, nil); got["name"] != want {
			t.Errorf("%s names %q, want %q", path, got["name"], want)
		}
	}
}
