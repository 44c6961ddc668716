package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"pollux/proxy/poller"
)

var (
	refuseClimbing = strictRefusal(400, "native_path",
		"a path of an upstream must hold no dot segment, backslash or control character, percent-encoded ones included")
	refuseDoubleSlash = strictRefusal(400, "native_path",
		"a path that begins with two slashes must hold nothing that a URL has to escape")
	refuseLoop = strictRefusal(508, "loop", "the request has been here before: the upstream's base_url leads back to this Pollux")
)

// serveNative answers everything below /native/. A status poll comes from the
// same engine as the unified ones; the rest is passed on as it is.
func (s *nativeService) serveNative(x *request) {
	t := x.rules.target(x.upstream)
	poll, scope := false, ScopeSubmit
	if t != nil {
		if poll = nativePoll(x, t); poll {
			scope = ScopeRead
		}
	}
	h := &x.ctx.Request.Header
	if denied := x.rules.enter(h, scope, t); denied != nil {
		x.deny(denied)
		return
	}
	switch {
	case t == nil:
		x.problem(problemNoUpstream)
	case beenHere(h):
		x.refuse(refuseLoop)
	case poll:
		s.serveNativePoll(x, t)
	case climbs(x.rest):
		x.refuse(refuseClimbing)
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

// nativePoll reports whether the request is exactly a status poll that others
// may share: nothing in it but what is keyed can change the answer. It leaves
// the reference in x.view and the credential in x.caller.
func nativePoll(x *request, t *target) bool {
	h := &x.ctx.Request.Header
	rest, twice := x.readCaller(t, nil)
	method := h.Method()
	if string(method) == "HEAD" {
		method = []byte("GET")
	}
	return twice == nil && !x.hasBody() && (t.Held || x.caller.sufficient(t)) &&
		t.Parser.MatchPoll(&x.view, method, x.rest, rest) && !bypasses(h, t)
}

// bypasses reports whether a header asks for an answer of the caller's own:
// one that the provider file lists, a cookie, or a part of the body.
func bypasses(h *fasthttp.RequestHeader, t *target) bool {
	if len(withoutSession(h.Peek("Cookie"))) > 0 || len(h.Peek("Range")) > 0 {
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
			if c = path[i]; c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
				c = unhex(path[i+1])<<4 | unhex(path[i+2])
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
