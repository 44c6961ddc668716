package proxy

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/agents"
	"pollux/proxy/fleet"
	"pollux/proxy/inbound"
	"pollux/proxy/problem"
	"pollux/proxy/webhooks"
	"pollux/proxy/wire"
)

const (
	redeliverSuffix = ":redeliver"
	rotateSuffix    = ":rotate"
	cancelSuffix    = ":cancel"
)

// handler serves one method of an endpoint.
type handler func(*Server, *serving)

// endpoint is what a path leads to: one handler per method, nil where the
// method is not allowed. HEAD is GET without its body.
type endpoint struct {
	name              string // label of metrics and logs
	template          string // of its paths, "" if its requests are not traced
	index             int    // position among all endpoints
	get, post, delete handler
	every             handler // whatever the method; bodies may have any kind and length
	bodyLimit         int64   // of a POST, in bytes
	anyBody           bool    // it may have any kind, and come in chunks
	allow             string
}

// routes is every endpoint. The one named other stands for what has none.
type routes struct {
	dashboard, problem, task, cancel, native, webhook, redeliver, rotate, inbound, other *endpoint

	exact   map[string]*endpoint // by path, those that have one only
	longest int                  // of these paths, in bytes
	all     []*endpoint
}

func newRoutes() *routes {
	r := &routes{exact: map[string]*endpoint{}}
	add := func(e endpoint) *endpoint {
		e.index = len(r.all)
		e.allow = e.methods()
		r.all = append(r.all, &e)
		return &e
	}
	at := func(path string, e endpoint) { // that and no other leads to
		e.template = path
		r.exact[path] = add(e)
	}
	r.other = add(endpoint{name: "other"})
	at("/", endpoint{name: "index", get: func(s *Server, x *serving) { s.fleet.ServeIndex(&x.Request) }})
	r.dashboard = add(endpoint{name: "dashboard", template: "/dashboard", get: func(s *Server, x *serving) { s.fleet.ServeDashboard(&x.Request) }})
	at(fleet.SessionPath, endpoint{name: "session", get: func(s *Server, x *serving) { s.fleet.ServeSession(&x.Request) }, post: func(s *Server, x *serving) { s.fleet.ServeLogin(&x.Request) }, delete: func(s *Server, x *serving) { s.fleet.ServeLogout(&x.Request) }, bodyLimit: 4 << 10})
	at("/openapi.json", endpoint{name: "openapi", get: (*Server).serveOpenAPI})
	r.exact["/healthz"] = add(endpoint{name: "healthz", get: (*Server).serveHealth})
	r.exact["/readyz"] = add(endpoint{name: "readyz", get: (*Server).serveReady})
	r.exact["/metrics"] = add(endpoint{name: "metrics", get: (*Server).serveMetrics})
	r.problem = add(endpoint{name: "problem", template: "/problems/{type}", get: (*Server).serveProblemPage})
	at("/v1/tasks/batch", endpoint{name: "batch", post: func(s *Server, x *serving) { s.tasks.ServeBatch(&x.Request) }, bodyLimit: 1 << 20})
	at("/v1/tasks", endpoint{name: "list", get: func(s *Server, x *serving) { s.fleet.ServeList(&x.Request) }})
	at("/v1/fleet", endpoint{name: "fleet", get: func(s *Server, x *serving) { s.fleet.ServeFleet(&x.Request) }})
	at("/v1/upstreams", endpoint{name: "upstreams", get: func(s *Server, x *serving) { s.fleet.ServeUpstreams(&x.Request) }})
	r.task = add(endpoint{name: "task", template: "/v1/tasks/{upstream}/{id}", get: func(s *Server, x *serving) { s.tasks.ServeTask(&x.Request) }, delete: func(s *Server, x *serving) { s.tasks.ServeForget(&x.Request) }})
	r.cancel = add(endpoint{name: "cancel", template: "/v1/tasks/{upstream}/{id}:cancel", post: func(s *Server, x *serving) { s.tasks.ServeCancel(&x.Request) }, bodyLimit: 64 << 10})
	at(webhooks.WebhooksPath, endpoint{name: "webhooks", get: func(s *Server, x *serving) { s.hooks.ServeList(&x.Request) }, post: func(s *Server, x *serving) { s.hooks.ServeRegister(&x.Request, x.configuration.webhooks) }, bodyLimit: 1 << 20})
	r.webhook = add(endpoint{name: "webhook", template: "/v1/webhooks/{id}", get: func(s *Server, x *serving) { s.hooks.ServeWebhook(&x.Request) }, delete: func(s *Server, x *serving) { s.hooks.ServeEndWebhook(&x.Request) }})
	r.redeliver = add(endpoint{name: "redeliver", template: "/v1/webhooks/{id}:redeliver", post: func(s *Server, x *serving) { s.hooks.ServeRedeliver(&x.Request) }, bodyLimit: 64 << 10})
	r.rotate = add(endpoint{name: "rotate", template: "/v1/webhooks/{id}:rotate", post: func(s *Server, x *serving) { s.hooks.ServeRotate(&x.Request) }, bodyLimit: 64 << 10})
	at(agents.Path, endpoint{name: "mcp", post: func(s *Server, x *serving) { s.agents.Serve(&x.Request) }, bodyLimit: agents.BodyLimit})
	r.inbound = add(endpoint{name: "inbound", template: "/inbound/{upstream}", post: func(s *Server, x *serving) { s.inbound.Serve(&x.Request) }, bodyLimit: providers.MaxMessage, anyBody: true})
	r.native = add(endpoint{name: "native", template: "/native/{upstream}/{path}", every: func(s *Server, x *serving) { s.native.ServeNative(&x.Request) }})
	r.exact[fleet.DashboardPath] = r.dashboard
	for path := range r.exact {
		r.longest = max(r.longest, len(path))
	}
	return r
}

// methods is the value of Allow.
func (e *endpoint) methods() string {
	var m []string
	if e.get != nil {
		m = append(m, "GET", "HEAD")
	}
	if e.post != nil {
		m = append(m, "POST")
	}
	if e.delete != nil {
		m = append(m, "DELETE")
	}
	return strings.Join(append(m, "OPTIONS"), ", ")
}

func (e *endpoint) handler(method []byte) handler {
	if e.every != nil {
		return e.every
	}
	switch string(method) {
	case "GET", "HEAD":
		return e.get
	case "POST":
		return e.post
	case "DELETE":
		return e.delete
	}
	return nil
}

// match finds the endpoint of a path as it was sent: nothing is decoded and no
// dot segment resolved, since the upstream may see what we would have folded.
func (r *routes) match(method, path []byte) (e *endpoint, upstream, rest []byte) {
	if len(path) <= r.longest {
		if e := r.exact[string(path)]; e != nil {
			return e, nil, nil
		}
	}
	if rest, ok := bytes.CutPrefix(path, []byte(access.TasksPath)); ok && len(rest) > 0 {
		upstream, rest, _ = bytes.Cut(rest, []byte("/"))
		if string(method) == "POST" && bytes.HasSuffix(rest, []byte(cancelSuffix)) {
			return r.cancel, upstream, rest[:len(rest)-len(cancelSuffix)]
		}
		return r.task, upstream, rest
	}
	if id, ok := bytes.CutPrefix(path, []byte(webhooks.WebhooksPath+"/")); ok && len(id) > 0 {
		e, id := r.matchWebhook(id)
		return e, nil, id
	}
	if name, ok := bytes.CutPrefix(path, []byte(inbound.Path)); ok && len(name) > 0 {
		return r.inbound, name, nil
	}
	if name, ok := bytes.CutPrefix(path, []byte(access.NativePath)); ok && len(name) > 0 {
		if i := bytes.IndexByte(name, '/'); i >= 0 {
			return r.native, name[:i], name[i:]
		}
		return r.native, name, nil
	}
	if rest, ok := bytes.CutPrefix(path, []byte(problem.PagePath)); ok {
		return r.problem, nil, rest
	}
	if bytes.HasPrefix(path, []byte(fleet.DashboardPath+"/")) {
		return r.dashboard, nil, nil
	}
	return r.other, nil, nil
}

// matchWebhook finds the endpoint of what follows /v1/webhooks/.
func (r *routes) matchWebhook(rest []byte) (e *endpoint, id []byte) {
	if id, ok := bytes.CutSuffix(rest, []byte(redeliverSuffix)); ok {
		return r.redeliver, id
	}
	if id, ok := bytes.CutSuffix(rest, []byte(rotateSuffix)); ok {
		return r.rotate, id
	}
	return r.webhook, rest
}

// admit decides, by the header alone, whether a request may have its body read
// and be served. It fills what x knows of the request, and does not allocate.
// It runs twice for a request with a body: once before the body is read, or 100
// Continue sent, and once in the handler.
func (s *Server) admit(h *fasthttp.RequestHeader, x *serving) *wire.Refusal {
	x.lead(s.routes.other)
	if r := x.Settings.Strict.Check(h, &x.Facts); r != nil {
		return r
	}
	if !x.Star {
		var e *endpoint
		e, x.Upstream, x.Rest = s.routes.match(h.Method(), x.Path)
		x.lead(e)
	}
	if !x.HasBody() {
		return nil
	}
	e, method := x.endpoint, h.Method()
	switch {
	case !wire.ChangesState(method):
		return wire.RefuseBody
	case e.every != nil:
		return nil
	case string(method) == "DELETE":
		return wire.RefuseBody
	case e == s.routes.other:
		return wire.RefusePath
	case e.handler(method) == nil:
		return wire.RefuseNotAllowed
	case x.BodyLength < 0 && !e.anyBody:
		return wire.RefuseChunked
	case x.BodyLength > e.bodyLimit:
		return wire.RefuseBodySize
	case !e.anyBody && !isJSON(h.ContentType()):
		return wire.RefuseMediaType
	case !e.anyBody && len(h.Peek("Content-Encoding")) > 0 && !wire.FoldEqual(h.Peek("Content-Encoding"), "identity"):
		return wire.RefuseCoding
	}
	return nil
}

// isJSON reports whether a Content-Type says application/json in UTF-8.
func isJSON(contentType []byte) bool {
	media, params, _ := bytes.Cut(contentType, []byte(";"))
	if !wire.FoldEqual(wire.TrimOWS(media), "application/json") {
		return false
	}
	params = bytes.ToLower(wire.TrimOWS(params))
	return len(params) == 0 || string(params) == "charset=utf-8" || string(params) == `charset="utf-8"`
}

// dispatch answers an admitted request.
func (s *Server) dispatch(x *serving) {
	method := x.Ctx.Method()
	e := x.endpoint
	if x.Star {
		x.Ctx.Response.Header.Set("Allow", "GET, HEAD, POST, DELETE, OPTIONS")
		x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	if e == s.routes.other {
		x.Problem(&wire.RefusePath.Problem)
		return
	}
	if serve := e.handler(method); serve != nil {
		serve(s, x)
		return
	}
	if string(method) == "OPTIONS" {
		x.Ctx.Response.Header.Set("Allow", e.allow)
		x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	x.MethodNotAllowed(e.allow)
}
