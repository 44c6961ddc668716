package proxy

import (
	"pollux/proxy/trace"
	"pollux/proxy/wire"
)

// beginSpan begins the span of a request, if its endpoint has any.
func (s *Server) beginSpan(x *serving) {
	e := x.endpoint
	if e.template == "" && e != s.routes.other {
		return
	}
	h := &x.Ctx.Request.Header
	in := trace.Incoming{
		Method: "_OTHER", Route: e.template, Path: string(x.Path), Host: string(h.Host()), Secure: x.Settings.Secure, Upstream: string(x.Upstream),
	}
	if wire.KnownMethod(h.Method()) {
		in.Method = string(h.Method())
	}
	switch e { // what nobody declared may hold a credential
	case s.routes.native:
		in.Path = "/native/" + in.Upstream
	case s.routes.other:
		in.Path = "/"
	}
	if x.Rules.Upstream(x.Upstream) == nil {
		in.Upstream = ""
	}
	if _, _, ok := wire.ParseTraceparent(h); ok {
		in.Traceparent = string(h.Peek("Traceparent"))
	}
	x.Span = s.tracer.Begin(in)
}

// endSpan ends the span of a request that was answered with code, and tells the
// client where to find it.
func endSpan(x *serving, code int) {
	h := &x.Ctx.Response.Header
	h.Set("Traceparent", x.Span.Traceparent())
	x.Span.End(code, string(h.PeekBytes(wire.HeaderCacheStatus)))
}
