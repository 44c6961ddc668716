package proxy

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"pollux/proxy/problem"
)

// writeProblem answers with p. It replaces whatever the answer held so far.
func writeProblem(resp *fasthttp.Response, p *problem.Problem, publicURL string) {
	resp.ResetBody()
	resp.SetStatusCode(p.Status)
	h := &resp.Header
	h.SetContentType("application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(problem.WholeSeconds(p.RetryAfter), 10))
	}
	resp.SetBody(p.AppendJSON(nil, publicURL))
}

// refusal is a fixed problem of the strict check or of routing.
type refusal struct {
	problem.Problem
	reason string // label of pollux_rejected_requests_total
	close  bool   // what follows on the connection cannot be trusted
}

func strictRefusal(code int, reason, detail string) *refusal {
	p := problem.Problem{Type: problem.AboutBlank, Status: code, Detail: detail}
	switch code {
	case 400:
		p.Type = problem.InvalidRequest
	case 403:
		p.Type = problem.Forbidden
	}
	return &refusal{Problem: p, reason: reason, close: true}
}

var (
	refuseVersion      = strictRefusal(505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
	refuseMethod       = strictRefusal(501, "method", "the method is not known")
	refuseTarget       = strictRefusal(400, "target", "the request target is malformed or not ours")
	refuseTargetLength = strictRefusal(414, "target_length", "the request target is too long")
	refuseLine         = strictRefusal(400, "header_line", "a header line is malformed")
	refuseHeaders      = strictRefusal(431, "header_count", "there are more than 100 header lines")
	refuseHeaderSize   = strictRefusal(431, "header_size", "the header block is too large; limits.request_header_bytes raises the limit")
	refuseHost         = strictRefusal(400, "host", "Host must be sent once and be a host with an optional port")
	refuseFraming      = strictRefusal(400, "framing", "the length of the body is malformed or ambiguous")
	refuseUnderscore   = strictRefusal(400, "underscore", "a header name has an underscore in place of a hyphen")
	refuseDuplicate    = strictRefusal(400, "duplicate", "a header that may be sent once was sent twice")
	refuseHopByHop     = strictRefusal(400, "hop_by_hop", "Connection must not name a header that says who calls")
	refuseExpectation  = strictRefusal(417, "expectation", "the expectation cannot be met")
	refuseMisdirected  = strictRefusal(421, "misdirected", "on loopback only loopback host names and public_url are answered to")
	refuseOrigin       = strictRefusal(403, "origin", "pages of another origin may not change anything here")
	refusePath         = strictRefusal(404, "path", "there is nothing under this path")
	refuseNotAllowed   = strictRefusal(405, "not_allowed", "the method is not allowed here; Allow lists those that are")
	refuseBody         = strictRefusal(400, "body", "this request takes no body")
	refuseChunked      = strictRefusal(400, "chunked", "a body here must have a Content-Length")
	refuseBodySize     = strictRefusal(413, "body_size", "the body is too large")
	refuseMediaType    = strictRefusal(415, "media_type", "the body must be application/json")
	refuseSlow         = strictRefusal(408, "slow", "the request did not arrive in time")
	refuseUnreadable   = strictRefusal(400, "unreadable", "the request is malformed")
	refusePanic        = strictRefusal(500, "panic", "")
)

var problemNoUpstream = &problem.Problem{Type: problem.UnknownUpstream, Status: 404, Detail: "no upstream has this name"}

// invalid is an invalid-request problem. The detail names a parameter and what
// is wrong with it, never its value.
func invalid(detail string) *problem.Problem {
	return &problem.Problem{Type: problem.InvalidRequest, Status: 400, Detail: detail}
}

// denial is why a request may not do what it asks for: the answer, and the
// challenge that goes with a 401.
type denial struct {
	*problem.Problem
	challenge string
}

// deny answers x so.
func (x *exchange) deny(d *denial) { x.unauthorized(d.Problem, d.challenge) }
