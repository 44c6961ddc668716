package wire

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"pollux/proxy/problem"
)

// WriteProblem answers with p. It replaces whatever the answer held so far.
func WriteProblem(resp *fasthttp.Response, p *problem.Problem, publicURL string) {
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

// Refusal is a fixed problem of the strict check or of routing.
type Refusal struct {
	problem.Problem
	Reason string // label of pollux_rejected_requests_total
	close  bool   // what follows on the connection cannot be trusted
}

func NewRefusal(code int, reason, detail string) *Refusal {
	p := problem.Problem{Type: problem.AboutBlank, Status: code, Detail: detail}
	switch code {
	case 400:
		p.Type = problem.InvalidRequest
	case 403:
		p.Type = problem.Forbidden
	}
	return &Refusal{Problem: p, Reason: reason, close: true}
}

var (
	refuseVersion      = NewRefusal(505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
	refuseMethod       = NewRefusal(501, "method", "the method is not known")
	refuseTarget       = NewRefusal(400, "target", "the request target is malformed or not ours")
	RefuseTargetLength = NewRefusal(414, "target_length", "the request target is too long")
	refuseLine         = NewRefusal(400, "header_line", "a header line is malformed")
	refuseHeaders      = NewRefusal(431, "header_count", "there are more than 100 header lines")
	RefuseHeaderSize   = NewRefusal(431, "header_size", "the header block is too large; limits.request_header_bytes raises the limit")
	refuseHost         = NewRefusal(400, "host", "Host must be sent once and be a host with an optional port")
	refuseFraming      = NewRefusal(400, "framing", "the length of the body is malformed or ambiguous")
	refuseUnderscore   = NewRefusal(400, "underscore", "a header name has an underscore in place of a hyphen")
	refuseDuplicate    = NewRefusal(400, "duplicate", "a header that may be sent once was sent twice")
	refuseHopByHop     = NewRefusal(400, "hop_by_hop", "Connection must not name a header that says who calls")
	refuseExpectation  = NewRefusal(417, "expectation", "the expectation cannot be met")
	refuseMisdirected  = NewRefusal(421, "misdirected", "on loopback only loopback host names and public_url are answered to")
	RefuseOrigin       = NewRefusal(403, "origin", "pages of another origin may not change anything here")
	RefusePath         = NewRefusal(404, "path", "there is nothing under this path")
	RefuseNotAllowed   = NewRefusal(405, "not_allowed", "the method is not allowed here; Allow lists those that are")
	RefuseBody         = NewRefusal(400, "body", "this request takes no body")
	RefuseChunked      = NewRefusal(400, "chunked", "a body here must have a Content-Length")
	RefuseBodySize     = NewRefusal(413, "body_size", "the body is too large")
	RefuseMediaType    = NewRefusal(415, "media_type", "the body must be application/json")
	RefuseCoding       = NewRefusal(415, "coding", "the body must come without a content coding")
	RefuseSlow         = NewRefusal(408, "slow", "the request did not arrive in time")
	RefuseUnreadable   = NewRefusal(400, "unreadable", "the request is malformed")
	RefusePanic        = NewRefusal(500, "panic", "")
)

var ProblemNoUpstream = &problem.Problem{Type: problem.UnknownUpstream, Status: 404, Detail: "no upstream has this name"}

// Invalid is an invalid-request problem. The detail names a parameter and what
// is wrong with it, never its value.
func Invalid(detail string) *problem.Problem {
	return &problem.Problem{Type: problem.InvalidRequest, Status: 400, Detail: detail}
}

// Denial is why a request may not do what it asks for: the answer, and the
// challenge that goes with a 401.
type Denial struct {
	*problem.Problem
	Challenge string
}

// Deny answers x so.
func (x *Exchange) Deny(d *Denial) { x.Unauthorized(d.Problem, d.Challenge) }
