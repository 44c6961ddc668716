package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers/sandbox/script"
	"pollux/providers/template"
)

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

// LifecycleHeader on a creating request names the lifecycle that the task
// takes. FaultHeader on any request is the fault that it meets, as in "503" or
// "latency=2s". Real upstreams know neither.
const (
	LifecycleHeader = "X-Sandbox-Lifecycle"
	FaultHeader     = "X-Sandbox-Fault"
)

// exchange is one request to a simulated upstream and its answer.
type exchange struct {
	server   *Server
	upstream *upstream
	request  *http.Request
	nonce    uint64
	now      time.Time

	route    *route
	kind     kind
	query    url.Values
	params   map[string]string
	identity []string
	owner    owner
	body     []byte
	quota    quota
}

// serve answers a request for path, which is escaped as it was sent.
func (e *exchange) serve(w http.ResponseWriter, path string) {
	e.query = e.request.URL.Query()
	e.find(path)
	e.identity = presented(e.upstream.provider.Identity, e.request.Header, e.query)
	e.owner = ownerOf(e.identity)
	body, err := io.ReadAll(http.MaxBytesReader(w, e.request.Body, maxBody))
	if err != nil {
		e.upstream.count(e.kind, "", false)
		http.Error(w, "unreadable body", http.StatusRequestEntityTooLarge)
		return
	}
	e.body = body
	switch e.kind {
	case poll:
		e.readBody(e.upstream.provider.Poll.Body)
	case cancel:
		e.readBody(e.upstream.provider.Cancel.Body)
	}

	f, late := e.server.faults.draw(e)
	e.upstream.count(e.kind, e.params[e.upstream.idName], f.Kind != "" || late > 0)
	e.pause(late)
	e.strike(w, f)
}

// find sets the route, its kind and the parameters sent, scoping ones included.
func (e *exchange) find(path string) {
	u := e.upstream
	for i := range u.routes {
		if params, ok := u.routes[i].match(e.request.Method, path, e.query); ok {
			e.route, e.kind, e.params = &u.routes[i], u.routes[i].kind, params
			break
		}
	}
	for _, p := range u.provider.Params {
		if value := e.query.Get(p.Name); p.In == "query" && value != "" && e.params != nil {
			e.params[p.Name] = value
		}
	}
}

// answer does what the request asks for.
func (e *exchange) answer() answer {
	if e.route == nil {
		return e.situation("bad_route", http.StatusNotFound)
	}
	_, closed := e.upstream.sim.Answers["unauthenticated"]
	switch {
	case len(e.identity) == 0 && closed:
		return e.situation("unauthenticated", http.StatusUnauthorized)
	case len(e.identity) > 0 && !e.server.keys.accepts(e.identity):
		return e.situation("refused", http.StatusUnauthorized)
	}
	var within bool
	if e.quota, within = e.upstream.spend(e.owner, e.now); !within {
		return e.situation("rate_limited", http.StatusTooManyRequests)
	}
	switch e.kind {
	case create:
		return e.create()
	case cancel:
		return e.transition(e.upstream.sim.Cancel)
	case action:
		return e.transition(e.route.action)
	case listing:
		return e.listing()
	}
	return e.poll()
}

// listing answers with a page of the caller's tasks, those that it covers.
func (e *exchange) listing() answer {
	l := e.upstream.sim.Listing
	tasks := slices.DeleteFunc(e.upstream.list(e.params, e.owner), func(t task) bool {
		return !e.upstream.provider.Sweep.Covers(e.upstream.sim.States[t.state(e.now)].Status)
	})
	size := cmp.Or(l.Page, defaultPage)
	from, _ := strconv.Atoi(e.query.Get(e.upstream.provider.Sweep.CursorParam)) // no cursor: the first page
	from = min(max(from, 0), len(tasks))
	page := tasks[from:min(from+size, len(tasks))]
	c := e.about(task{})
	for i := range page {
		if i > 0 {
			c.tasks = append(c.tasks, ',')
		}
		c.tasks = l.Of(c.tasks, e.upstream.sim.States[page[i].state(e.now)], e.about(page[i]).fill)
	}
	if next := from + len(page); next < len(tasks) {
		c.cursor = strconv.Itoa(next)
	}
	return c.render(l.AnswerSpec, http.StatusOK)
}

// defaultPage is how many tasks a page of a listing has.
const defaultPage = 100

func (e *exchange) poll() answer {
	t, refusal := e.look()
	if refusal != nil {
		return *refusal
	}
	return e.about(t).render(e.upstream.sim.States[t.state(e.now)].AnswerSpec, http.StatusOK)
}

// look returns the task that the request names, or why the caller may not see it.
func (e *exchange) look() (task, *answer) {
	refuse := func(situation string, code int) (task, *answer) {
		a := e.situation(situation, code)
		return task{}, &a
	}
	if err := e.upstream.validate(e.params, e.kind == poll); err != nil {
		return refuse("invalid", http.StatusBadRequest)
	}
	t, known, allowed := e.upstream.find(e.params, e.owner)
	switch {
	case !known:
		return refuse("not_found", http.StatusNotFound)
	case !allowed:
		return refuse("foreign", http.StatusNotFound)
	}
	return t, nil
}

// create makes a task, or continues the one that the body names.
func (e *exchange) create() answer {
	if len(e.body) > 0 && !isForm(e.request.Header) && !gjson.ValidBytes(e.body) {
		return e.situation("invalid", http.StatusBadRequest)
	}
	u := e.upstream
	if id := gjson.GetBytes(e.body, e.route.continues); e.route.continues != "" && id.String() != "" && u.sim.Continue != nil {
		e.params[u.idName] = id.String()
		return e.transition(u.sim.Continue)
	}
	if err := u.validate(e.params, false); err != nil {
		return e.situation("invalid", http.StatusBadRequest)
	}
	t, err := u.add(newTask{
		params: e.params, owner: e.owner, credential: first(e.identity),
		lifecycle: e.request.Header.Get(LifecycleHeader), body: e.body, now: e.now,
	})
	if err != nil {
		return e.situation("invalid", http.StatusBadRequest)
	}
	return e.created(t)
}

// isForm reports whether a request's body is a form with files, as some
// vendors take it beside JSON. Nothing of it is looked at.
func isForm(h http.Header) bool {
	return strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "multipart/form-data")
}

// created renders the answer to a creating request about its task.
func (e *exchange) created(t task) answer {
	var fitting []script.AnswerSpec
	for _, exact := range []string{e.route.text, ""} {
		for _, c := range e.upstream.sim.Create {
			if c.Request == exact {
				fitting = append(fitting, c.AnswerSpec)
			}
		}
		if len(fitting) > 0 {
			break
		}
	}
	if len(fitting) == 0 {
		return e.situation("bad_route", http.StatusNotFound)
	}
	spec := fitting[t.draw(t.seed).IntN(len(fitting))]
	return e.about(t).render(spec, http.StatusOK)
}

// transition turns the course of the task that the request names. An action
// that names none, such as a list, is answered as it stands.
func (e *exchange) transition(tr *script.Transition) answer {
	if _, named := e.params[e.upstream.idName]; !named {
		return e.about(task{}).render(tr.Answer, http.StatusOK)
	}
	if _, refusal := e.look(); refusal != nil {
		return *refusal
	}
	t, done := e.upstream.apply(e.params, tr, e.now)
	switch {
	case !done:
		return e.about(t).render(tr.Refused, http.StatusConflict)
	case e.kind == create && tr.Answer.Body.Empty():
		return e.created(t)
	}
	return e.about(t).render(tr.Answer, http.StatusOK)
}

// readBody takes the parameters of a request from its JSON body, where the
// provider file puts them there.
func (e *exchange) readBody(body template.Body) {
	provider := e.upstream.provider
	for _, member := range body {
		if member.Param < 0 {
			continue
		}
		if value := gjson.GetBytes(e.body, gjson.Escape(member.Name)); value.Type == gjson.String || value.Type == gjson.Number {
			e.params[provider.Params[member.Param].Name] = value.String()
		}
	}
}

// about is the scene of an answer about t, which may be zero.
func (e *exchange) about(t task) *scene {
	c := &scene{sim: e.upstream.sim, task: t, now: e.now, nonce: e.nonce, quota: e.quota, params: maps.Clone(t.params)}
	if c.params == nil {
		c.params = map[string]string{}
	}
	maps.Copy(c.params, e.params)
	c.base = BaseURL(e.request.Host, e.upstream.provider.Name)
	return c
}

// situation renders the section's answer to a situation, or a bare one.
func (e *exchange) situation(name string, code int) answer {
	spec, ok := e.upstream.sim.Answers[name]
	if !ok && name == "foreign" {
		return e.situation("not_found", code)
	}
	switch {
	case ok:
	case name == "bad_route":
		return plain(code, "404 page not found\n")
	default:
		text, _ := json.Marshal(map[string]string{"error": http.StatusText(code)})
		return answer{code: code, header: map[string]string{"Content-Type": "application/json"}, body: text}
	}
	named := task{id: e.params[e.upstream.idName]}
	a := e.about(named).render(spec, code)
	if name == "rate_limited" && a.header["Retry-After"] == "" && e.quota.wait > 0 {
		a.header["Retry-After"] = strconv.Itoa(e.quota.seconds())
	}
	return a
}

func plain(code int, text string) answer {
	return answer{code: code, header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}, body: []byte(text)}
}

func write(w http.ResponseWriter, a answer) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.code)
	w.Write(a.body) // the caller hung up; there is nobody to tell
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
