package native

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/wire"
)

var (
	refuseClimbing = wire.NewRefusal(400, "native_path",
		"a path of an upstream must hold no dot segment, backslash or control character, percent-encoded ones included")
	refuseDoubleSlash = wire.NewRefusal(400, "native_path",
		"a path that begins with two slashes must hold nothing that a URL has to escape")
	refuseLoop = wire.NewRefusal(508, "loop", "the request has been here before: the upstream's base_url leads back to this Pollux")
)

// ServeNative answers everything below /native/. A status poll comes from the
// same engine as the unified ones; the rest is passed on as it is.
func (s *Service) ServeNative(x *access.Request) {
	t := x.Rules.Target(x.Upstream)
	poll, scope := false, access.ScopeSubmit
	if t != nil {
		if poll = isPoll(x, t); poll {
			scope = access.ScopeRead
		}
	}
	h := &x.Ctx.Request.Header
	var denied *wire.Denial
	if x.Client, denied = x.Rules.Enter(h, scope, t); denied != nil {
		x.Deny(denied)
		return
	}
	switch {
	case t == nil:
		x.Problem(wire.ProblemNoUpstream)
	case beenHere(h):
		x.Refuse(refuseLoop)
	case poll:
		s.serveNativePoll(x, t)
	case climbs(x.Rest):
		x.Refuse(refuseClimbing)
	default:
		s.forward(x, t)
	}
}

// beenHere reports whether Via names this process (RFC 9110, section 7.6.3).
func beenHere(h *fasthttp.RequestHeader) bool {
	for _, via := range h.PeekAll("Via") {
		if bytes.Contains(via, []byte(poller.Hop())) {
			return true
		}
	}
	return false
}

// isPoll reports whether the request is exactly a status poll that others
// may share: nothing in it but what is keyed can change the answer. It leaves
// the reference in x.view and the credential in x.caller.
func isPoll(x *access.Request, t *access.Target) bool {
	h := &x.Ctx.Request.Header
	rest, twice := x.ReadCaller(t, nil)
	method := h.Method()
	if string(method) == "HEAD" {
		method = []byte("GET")
	}
	return twice == nil && !x.HasBody() && (t.Held || x.Caller.Sufficient(t)) &&
		t.Parser.MatchPoll(&x.View, method, x.Rest, rest) && !bypasses(h, t)
}

// bypasses reports whether a header asks for an answer of the caller's own:
// one that the provider file lists, a cookie, or a part of the body.
func bypasses(h *fasthttp.RequestHeader, t *access.Target) bool {
	if len(access.WithoutSession(h.Peek("Cookie"))) > 0 || len(h.Peek("Range")) > 0 {
		return true
	}
	for _, name := range t.Provider.Poll.Bypass.Headers {
		if h.Peek(name) != nil {
			return true
		}
	}
	return false
}

// climbs reports whether a path could lead out of the base URL, or mean
// another one to a server that decodes or folds early: it holds a dot segment,
// a backslash or a control character, as sent or after one decoding. A segment
// such as "..;x" counts, since some servers drop what follows the semicolon.
func climbs(path []byte) bool {
	segment := make([]byte, 0, 4) // enough to tell "." and ".." from others
	for i := 0; i <= len(path); i++ {
		c := byte('/')
		if i < len(path) {
			if c = path[i]; c == '%' && i+2 < len(path) && wire.IsHex(path[i+1]) && wire.IsHex(path[i+2]) {
				c = wire.Unhex(path[i+1])<<4 | wire.Unhex(path[i+2])
				i += 2
			}
		}
		switch {
		case c < ' ' || c == 0x7f || c == '\\':
			return true
		case c == '/' || c == ';':
			if s := string(segment); s == "." || s == ".." {
				return true
			}
			if segment = segment[:0]; c == ';' {
				segment = append(segment, c) // what follows is no segment of its own
			}
		case len(segment) < cap(segment):
			segment = append(segment, c)
		}
	}
	return false
}
