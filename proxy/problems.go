package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/poller"
)

// problemKind is one row of the table of problems. A problem type of RFC 9457
// has one title; the code may vary where the upstream chooses it.
type problemKind struct {
	Type  poller.ProblemType
	Code  int // 0: the upstream's
	Title string
	About string // what the page under /problems/ says
}

// problemKinds is every problem type of ours. What is not listed, plain HTTP
// errors, is about:blank with the title of its code.
var problemKinds = []problemKind{
	{poller.InvalidRequest, 400, "The request is malformed",
		"A task reference, a parameter, a header or the body is missing, malformed, sent twice or not known. The detail says what is wrong. Repeating the request unchanged cannot succeed."},
	{poller.UpstreamRejected, 0, "The upstream refuses the request",
		"The upstream understood the status request and refused it. The status code is the upstream's own."},
	{poller.UnauthorizedProblem, 401, "No accepted credential",
		"The credential that the upstream wants, or the key that Pollux wants, was not sent or was refused."},
	{poller.ForbiddenProblem, 403, "Not allowed",
		"The credential is known, but it may not see this task or do this."},
	{poller.UnknownUpstream, 404, "No such upstream",
		"The first segment after /v1/tasks/ names no upstream of this Pollux."},
	{poller.TaskNotFound, 404, "No such task",
		"The upstream says that it has no such task, or none that this credential may see."},
	{poller.TaskGone, 410, "The task is gone",
		"The upstream knew this task and has lost it, and no final answer is stored."},
	{poller.RateLimited, 429, "Too many requests",
		"A rate limit, of the upstream or of Pollux, leaves no room, and nothing is stored that could be served instead. Retry-After says when to ask again."},
	{poller.UpstreamError, 502, "The upstream answers badly",
		"The upstream failed, or its answer cannot be understood, is too large or belongs to another task."},
	{poller.UpstreamUnavailable, 503, "The upstream is left alone",
		"The upstream failed repeatedly and is not asked for a while. Retry-After says when to ask again."},
	{poller.Overloaded, 503, "Too busy",
		"Pollux has no capacity left for this request, or is shutting down. Retry-After says when to ask again."},
	{poller.UpstreamTimeout, 504, "The upstream is too slow",
		"The upstream did not answer in time. The task itself is not affected."},
	{poller.NotCached, 504, "Nothing is stored",
		"The request allowed stored answers only, and there is none."},
}

func kindOf(t poller.ProblemType) *problemKind {
	for i := range problemKinds {
		if problemKinds[i].Type == t {
			return &problemKinds[i]
		}
	}
	return nil
}

// appendProblem renders p as application/problem+json. Links are the public
// URL's, or relative when it is "".
func appendProblem(dst []byte, p *poller.Problem, publicURL string) []byte {
	body := struct {
		Type           string `json:"type"`
		Title          string `json:"title"`
		Status         int    `json:"status"`
		Detail         string `json:"detail,omitempty"`
		Upstream       string `json:"upstream,omitempty"`
		UpstreamStatus int    `json:"upstream_status,omitempty"`
		RetryAfter     int64  `json:"retry_after,omitempty"`
	}{string(poller.AboutBlank), http.StatusText(p.Status), p.Status, p.Detail, p.Upstream, p.UpstreamStatus, wholeSeconds(p.RetryAfter)}
	if kind := kindOf(p.Type); kind != nil {
		body.Type, body.Title = publicURL+problemPath+string(p.Type), kind.Title
	}
	return append(dst, marshal(&body)...)
}

// wholeSeconds rounds up, so that nobody is told to come back too early.
func wholeSeconds(d time.Duration) int64 {
	return int64((max(0, d) + time.Second - 1) / time.Second)
}

// writeProblem answers with p. It replaces whatever the answer held so far.
func writeProblem(resp *fasthttp.Response, p *poller.Problem, publicURL string) {
	resp.ResetBody()
	resp.SetStatusCode(p.Status)
	h := &resp.Header
	h.SetContentType("application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(p.RetryAfter), 10))
	}
	resp.SetBody(appendProblem(nil, p, publicURL))
}

// refusal is a fixed problem of the strict check or of routing.
type refusal struct {
	poller.Problem
	reason string // label of pollux_rejected_requests_total
	close  bool   // what follows on the connection cannot be trusted
}

func strictRefusal(code int, reason, detail string) *refusal {
	p := poller.Problem{Type: poller.AboutBlank, Status: code, Detail: detail}
	switch code {
	case 400:
		p.Type = poller.InvalidRequest
	case 403:
		p.Type = poller.ForbiddenProblem
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

var problemNoUpstream = &poller.Problem{Type: poller.UnknownUpstream, Status: 404, Detail: "no upstream has this name"}

// invalid is an invalid-request problem. The detail names a parameter and what
// is wrong with it, never its value.
func invalid(detail string) *poller.Problem {
	return &poller.Problem{Type: poller.InvalidRequest, Status: 400, Detail: detail}
}
