package proxy

import (
	"context"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/tidwall/gjson"

	"pollux/cache"
)

// description is what is served under /openapi.json, loaded and checked.
func description(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	must(t, err)
	must(t, doc.Validate(context.Background()))
	return doc
}

func TestOpenAPIIsServed(t *testing.T) {
	description(t)
	f := newFace(t, withClients)
	a := f.do("GET", "/openapi.json", "")
	a.expect(t, 200, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})
	if a.body != string(openAPI) {
		t.Errorf("got %d bytes, want the %d of the file", len(a.body), len(openAPI))
	}
	f.do("GET", "/openapi.json", "", "If-None-Match: "+a.Header.Get("Etag")).expect(t, 304, nil)
}

var pathParameter = regexp.MustCompile(`\{[a-z]+\}`)

// TestOpenAPIIsComplete: every operation leads to a handler, and every handler
// is an operation.
func TestOpenAPIIsComplete(t *testing.T) {
	doc, r := description(t), newRoutes()
	described := map[string][]string{} // methods by endpoint
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			example := pathParameter.ReplaceAllString(path, "x")
			e, _, _ := r.match([]byte(method), []byte(example))
			if e == r.other || e.handler([]byte(method)) == nil {
				t.Errorf("%s %s is described, and answered by nobody", method, path)
				continue
			}
			described[e.name] = append(described[e.name], method)
		}
	}
	for _, e := range r.all {
		want := map[string]bool{"GET": e.get != nil, "POST": e.post != nil, "DELETE": e.delete != nil}
		if e.every != nil {
			want = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}
		}
		for method, served := range want {
			if served && !slices.Contains(described[e.name], method) {
				t.Errorf("%s of endpoint %s is not described", method, e.name)
			}
		}
	}
}

// conforms checks an answer against the description of path.
func (a *answer) conforms(t testing.TB, doc *openapi3.T, path string) {
	t.Helper()
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(a.Request.Method) == nil {
		t.Fatalf("%s %s is not described", a.Request.Method, path)
	}
	operation := item.GetOperation(a.Request.Method)
	described := operation.Responses.Status(a.StatusCode)
	if described == nil {
		if described = operation.Responses.Default(); described == nil || a.StatusCode < 400 && described.Ref != "" {
			t.Errorf("%s %s: code %d is not described", a.Request.Method, path, a.StatusCode)
			return
		}
	}
	media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.body != "" && described.Value.Content.Get(media) == nil {
		t.Errorf("%s %s: %d with %q is not described", a.Request.Method, path, a.StatusCode, media)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: a.Request,
			Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: a.Request.Method, Operation: operation},
		},
		Status: a.StatusCode, Header: a.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.HasSuffix(media, "json")},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(a.body))); err != nil {
		t.Errorf("%s %s: %d %v", a.Request.Method, a.Request.URL, a.StatusCode, err)
	}
}

// taskHeaders are on every 200 and 304 of a task that is no stream.
var taskHeaders = map[string]string{"Etag": "W/.+", "Age": "[0-9]+", "Cache-Control": "private, .+", "Cache-Status": "pollux; .+", "Vary": ".+", "X-Content-Type-Options": "nosniff"}

const taskPath, taskCancel = "/v1/tasks/{upstream}/{id}", "/v1/tasks/{upstream}/{id}:cancel"

func TestAnswersOfTasksConform(t *testing.T) {
	doc, f := description(t), newFace(t, nil)
	check := func(code int, path, method, target, body string, headers ...string) *answer {
		t.Helper()
		a := f.do(method, target, body, headers...)
		a.expect(t, code, nil)
		a.conforms(t, doc, path)
		return a
	}
	for name, upstream := range map[string]http.HandlerFunc{
		"running": runningShannon, "done": completedShannon,
		"failed": shannonAnswer(`{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_FAILED","error":"no"}`),
		"odd":    shannonAnswer(`{"task_id":"%s","workflow_id":"%s","status":"TASK_STATUS_ODD","metadata":{"a":[1]}}`),
	} {
		f.answer(upstream)
		target := "/v1/tasks/shannon/" + name
		a := check(200, taskPath, "GET", target, "", key1)
		a.expect(t, 200, taskHeaders)
		if name == "running" {
			a.expect(t, 200, map[string]string{"Retry-After": "[0-9]+"})
		}
		check(200, taskPath, "HEAD", target, "", key1).expect(t, 200, taskHeaders)
		check(200, taskPath, "GET", target+"?include=native,history", "", key1).expect(t, 200, taskHeaders)
		check(304, taskPath, "GET", target, "", key1, "If-None-Match: "+a.Header.Get("Etag")).expect(t, 304, taskHeaders)
	}
	check(200, taskPath, "GET", "/v1/tasks/shannon/done?wait=1", "", key1).expect(t, 200, map[string]string{"Preference-Applied": "wait=1"})
	check(400, taskPath, "GET", "/v1/tasks/shannon/a?x=y", "", key1)
	check(401, taskPath, "GET", "/v1/tasks/vessl/a", "").expect(t, 401, map[string]string{"Www-Authenticate": ".+"})
	check(404, taskPath, "GET", "/v1/tasks/nope/a", "")
	check(405, taskCancel, "POST", "/v1/tasks/gumloop/abc:cancel?user_id=u&api_key=k", "").expect(t, 405, map[string]string{"Allow": ".+"})
	check(504, taskPath, "GET", "/v1/tasks/shannon/other", "", key1, "Cache-Control: only-if-cached")
	f.answer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) })
	check(429, taskPath, "GET", "/v1/tasks/shannon/limited", "", "X-API-Key: two").expect(t, 429, map[string]string{"Retry-After": "7"})
	f.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	check(502, taskPath, "GET", "/v1/tasks/shannon/broken", "", "X-API-Key: three")
	f.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(202)
		_, _ = w.Write([]byte(`{"success":true}`))
	})
	check(202, taskCancel, "POST", "/v1/tasks/shannon/running:cancel", "", key1)
	check(204, taskPath, "DELETE", "/v1/tasks/shannon/done", "", key1)
	f.answer(completedShannon)
	check(200, "/v1/tasks/batch", "POST", "/v1/tasks/batch", `{"tasks":["shannon/a","nope/b",{"upstream":"shannon","id":["c"]},5]}`, key1)
	check(400, "/v1/tasks/batch", "POST", "/v1/tasks/batch", `{}`, key1)
	check(415, "/v1/tasks/batch", "POST", "/v1/tasks/batch", `{}`, "Content-Type: text/plain")
	check(200, "/native/{upstream}/{path}", "GET", "/native/shannon/api/v1/tasks/a", "", key1)
}

func TestOtherAnswersConform(t *testing.T) {
	doc := description(t)
	open, keyed := newFace(t, nil), newFace(t, withClients)
	open.do("GET", shannonTask, "").expect(t, 200, nil)
	session := keyed.login("key-reader")
	for _, c := range []struct {
		face         *face
		code         int
		path, method string
		target, body string
		header       string
	}{
		{open, 200, "/v1/tasks", "GET", "/v1/tasks", "", ""},
		{open, 400, "/v1/tasks", "GET", "/v1/tasks?sort=x", "", ""},
		{open, 200, "/v1/fleet", "GET", "/v1/fleet", "", ""},
		{open, 200, "/v1/upstreams", "GET", "/v1/upstreams", "", ""},
		{keyed, 401, "/v1/fleet", "GET", "/v1/fleet", "", ""},
		{open, 200, "/v1/session", "GET", "/v1/session", "", ""},
		{keyed, 200, "/v1/session", "GET", "/v1/session", "", session},
		{keyed, 204, "/v1/session", "POST", "/v1/session", `{"key":"key-all"}`, ""},
		{keyed, 401, "/v1/session", "POST", "/v1/session", `{"key":"wrong"}`, ""},
		{keyed, 204, "/v1/session", "DELETE", "/v1/session", "", ""},
		{keyed, 403, "/v1/session", "DELETE", "/v1/session", "", session},
		{open, 302, "/", "GET", "/", "", ""},
		{open, 200, "/dashboard", "GET", "/dashboard", "", ""},
		{keyed, 401, "/dashboard", "GET", "/dashboard", "", ""},
		{keyed, 403, "/dashboard", "GET", "/dashboard", "", session},
		{open, 200, "/dashboard/{file}", "GET", "/dashboard/main.mjs", "", ""},
		{open, 200, "/dashboard/{file}", "GET", "/dashboard/theme.css", "", ""},
		{open, 200, "/dashboard/{file}", "GET", "/dashboard/icon.svg", "", ""},
		{open, 404, "/dashboard/{file}", "GET", "/dashboard/none", "", ""},
		{open, 200, "/openapi.json", "GET", "/openapi.json", "", ""},
		{open, 200, "/problems/", "GET", "/problems/", "", ""},
		{open, 200, "/problems/{type}", "GET", "/problems/task-gone", "", ""},
		{open, 404, "/problems/{type}", "GET", "/problems/none", "", ""},
		{open, 200, "/metrics", "GET", "/metrics", "", ""},
		{keyed, 401, "/metrics", "GET", "/metrics", "", ""},
		{open, 200, "/healthz", "GET", "/healthz", "", ""},
		{open, 200, "/readyz", "GET", "/readyz", "", ""},
	} {
		headers := []string{"Accept: */*"}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		a := c.face.do(c.method, c.target, c.body, headers...)
		a.expect(t, c.code, nil)
		a.conforms(t, doc, c.path)
	}
}

func TestAnswersOfWebhooksConform(t *testing.T) {
	doc, f := description(t), newFace(t, func(c *Config) { c.Webhooks.AllowNetworks = []string{"127.0.0.0/8"} })
	must(t, f.server.OpenWebhooks(t.Context(), new(cache.MemoryOutbox), f.registry))
	const all, one = "/v1/webhooks", "/v1/webhooks/{id}"
	made := f.do("POST", all, `{"tasks":["shannon/a"],"url":"http://127.0.0.1:9/hook?token=x"}`, key1)
	made.expect(t, 201, nil)
	made.conforms(t, doc, all)
	id := gjson.Get(made.body, "id").Str
	for _, c := range []struct {
		code                       int
		path, method, target, body string
	}{
		{400, all, "POST", all, `{"tasks":[]}`},
		{400, all, "POST", all, `{"tasks":["shannon/a"],"url":"http://192.168.0.1/"}`},
		{200, all, "GET", all, ""},
		{200, all, "GET", all + "?limit=1", ""},
		{400, all, "GET", all + "?limit=0", ""},
		{200, one, "GET", all + "/" + id, ""},
		{202, one + ":redeliver", "POST", all + "/" + id + ":redeliver", ""},
		{200, one + ":rotate", "POST", all + "/" + id + ":rotate", ""},
		{204, one, "DELETE", all + "/" + id, ""},
		{404, one, "GET", all + "/" + id, ""},
	} {
		a := f.do(c.method, c.target, c.body, key1)
		a.expect(t, c.code, nil)
		a.conforms(t, doc, c.path)
	}
}
