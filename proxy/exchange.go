package proxy

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/problem"
)

// exchange is one request and its answer, with the scratch space that both
// need. It is pooled, and nothing of it outlives the handler.
type exchange struct {
	facts
	ctx       *fasthttp.RequestCtx
	started   time.Time
	now       time.Time
	settings  *wireSettings
	bodyLimit int64  // of the endpoint, in bytes
	allow     string // the methods of the endpoint

	header   []byte // header value being built
	body     []byte
	bodyRead bool
	reason   string // of a refusal, else ""
	id       string // see requestID; "" until it is needed
}

// wireSettings is the part of a configuration by which requests are read and
// answered. It is immutable.
type wireSettings struct {
	Limits    LimitsConfig
	strict    strictness
	publicURL string // without a slash at its end; "" makes links relative
}

// begin prepares x for a request that has just arrived.
func (x *exchange) begin(ctx *fasthttp.RequestCtx, st *wireSettings) {
	x.ctx, x.settings, x.started = ctx, st, time.Now()
	x.now = x.started
}

// release drops what points into the request.
func (x *exchange) release() {
	x.facts, x.ctx, x.settings = facts{}, nil, nil
	x.bodyRead, x.reason, x.id = false, "", ""
}

// problem answers with p, and with the name under which the log has the request.
func (x *exchange) problem(p *problem.Problem) {
	writeProblem(&x.ctx.Response, p, x.settings.publicURL)
	x.ctx.Response.Header.Set(requestIDHeader, x.requestID())
}

// unauthorized answers with p and the challenge that a 401 must carry.
func (x *exchange) unauthorized(p *problem.Problem, challenge string) {
	x.problem(p)
	if p.Status == fasthttp.StatusUnauthorized {
		x.ctx.Response.Header.Set("WWW-Authenticate", challenge)
	}
}

// refuse answers with a fixed problem.
func (x *exchange) refuse(r *refusal) {
	x.problem(&r.Problem)
	if r == refuseNotAllowed {
		x.ctx.Response.Header.Set("Allow", x.allow)
	}
	x.reason = r.reason
	if r.close {
		x.hangUp()
	}
}

// hangUp closes the connection after the answer, which the client gets to read
// even if it is still sending.
func (x *exchange) hangUp() { hangUp(x.ctx) }

// setHeader sets a header whose name is in canonical form. The value is copied.
func (x *exchange) setHeader(name, value []byte) { x.ctx.Response.Header.SetCanonical(name, value) }

// text answers with a short plain text.
func (x *exchange) text(code int, s string) {
	x.ctx.SetStatusCode(code)
	h := &x.ctx.Response.Header
	h.SetContentType("text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.ctx.SetBodyString(s)
}

// readBody returns the body, which the endpoint limits.
// It is valid until the exchange is released. The memory that it takes grows
// with what has arrived, not with what was announced.
func (x *exchange) readBody() ([]byte, *refusal) {
	limit := x.bodyLimit
	x.body = x.body[:0]
	r := io.LimitReader(x.ctx.RequestBodyStream(), limit+1)
	for {
		x.body = slices.Grow(x.body, 512)
		n, err := r.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		switch {
		case int64(len(x.body)) > limit:
			return nil, refuseBodySize
		case err == io.EOF && int64(len(x.body)) < x.bodyLength:
			return nil, refuseUnreadable
		case err == io.EOF:
			x.bodyRead = true
			return x.body, nil
		case isTimeout(err):
			return nil, refuseSlow
		case err != nil:
			return nil, refuseUnreadable
		}
	}
}

// wantedBody is readBody for an endpoint that does nothing without a body. It
// answers the request itself when there is none, or it cannot be read.
func (x *exchange) wantedBody() (body []byte, ok bool) {
	if !x.hasBody() {
		x.problem(invalid("the body is missing"))
		return nil, false
	}
	body, refused := x.readBody()
	if refused != nil {
		x.refuse(refused)
		return nil, false
	}
	return body, true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (x *exchange) methodNotAllowed(allow string) {
	x.problem(&refuseNotAllowed.Problem)
	x.ctx.Response.Header.Set("Allow", allow)
}
