package native

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
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
	t := x.Rules.Upstream(x.Upstream)
	h := &x.Ctx.Request.Header
	poll, body, denied := recognised(x, t)
	if denied != nil {
		x.Deny(denied)
		return
	}
	scope := access.ScopeSubmit
	if poll {
		scope = access.ScopeRead
	}
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
		s.forward(x, t, body)
	}
}

// recognised reports whether the request is a status poll, and returns its
// body from the start.
func recognised(x *access.Request, t *access.Upstream) (poll bool, body io.Reader, denied *wire.Denial) {
	switch {
	case t == nil:
		return false, nil, nil
	case !x.HasBody() || !t.Parser.MayPoll(x.Ctx.Method(), x.Rest):
		return isPoll(x, t), x.BodyStream(), nil
	}
	if denied = mayEither(x, t); denied == nil {
		poll, body = isBodyPoll(x, t)
	}
	return poll, body, denied
}

// mayEither refuses who may neither poll nor submit: nobody else's body is
// read before it is known which of them it is.
func mayEither(x *access.Request, t *access.Upstream) *wire.Denial {
	h := &x.Ctx.Request.Header
	_, denied := x.Rules.Enter(h, access.ScopeRead, t)
	if denied != nil {
		_, denied = x.Rules.Enter(h, access.ScopeSubmit, t)
	}
	return denied
}

// beenHere reports whether Via names this process (RFC 9110, section 7.6.3).
func beenHere(h *fasthttp.RequestHeader) bool {
	return slices.ContainsFunc(h.PeekAll("Via"), func(via []byte) bool { return bytes.Contains(via, []byte(upstream.Hop())) })
}

// isPoll reports whether the request is exactly a status poll that others
// may share: nothing in it but what is keyed can change the answer. It leaves
// the reference in x.view and the credential in x.caller.
func isPoll(x *access.Request, t *access.Upstream) bool {
	h := &x.Ctx.Request.Header
	rest, shared := callerShares(x, t)
	method := h.Method()
	if string(method) == "HEAD" {
		method = []byte("GET")
	}
	return shared && !x.HasBody() && t.Parser.MatchPoll(&x.View, method, x.Rest, rest)
}

// callerShares reads the caller, and reports whether others who send the same
// credential may share an answer to what the rest of the query asks for.
func callerShares(x *access.Request, t *access.Upstream) (rest []byte, shared bool) {
	rest, twice := x.ReadCaller(t, nil)
	return rest, twice == nil && (t.Held || x.Caller.Sufficient(t)) && !bypasses(&x.Ctx.Request.Header, t)
}

// pollBodyBytes is how much of a body is read to tell a status poll: enough for
// five parameters of the greatest length, however they are escaped.
const pollBodyBytes = 64 << 10

// isBodyPoll is isPoll for a request whose body decides. It also returns the
// body, from its start.
func isBodyPoll(x *access.Request, t *access.Upstream) (poll bool, body io.Reader) {
	rest, shared := callerShares(x, t)
	if !shared || x.BodyLength > pollBodyBytes {
		return false, x.BodyStream()
	}
	_ = wire.NetConn(x.Ctx).SetReadDeadline(time.Now().Add(uploadPause)) // a closed one fails when it is read
	read, err := io.ReadAll(io.LimitReader(x.BodyStream(), pollBodyBytes+1))
	whole := err == nil && len(read) <= pollBodyBytes && (x.BodyLength < 0 || int64(len(read)) == x.BodyLength)
	if whole && t.Parser.MatchPollBody(&x.View, x.Ctx.Method(), x.Rest, rest, read) {
		x.BodyRead = true
		return true, nil
	}
	return false, io.MultiReader(bytes.NewReader(read), failing{err}, x.BodyStream())
}

// bypasses reports whether a header asks for an answer of the caller's own:
// one that the provider file lists, a cookie, or a part of the body.
func bypasses(h *fasthttp.RequestHeader, t *access.Upstream) bool {
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
