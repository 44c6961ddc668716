// Package wire reads requests and writes answers: the strict check of a request,
// host names, the listener and its connections, what outlives a request, and the
// headers of answers. It knows nothing of who asks.
package wire

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/edge"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
)

// Exchange is one request and its answer, with the scratch space that both
// need. It is pooled, and nothing of it outlives the handler.
type Exchange struct {
	Facts
	Ctx       *fasthttp.RequestCtx
	Started   time.Time
	Now       time.Time
	Settings  *Settings
	Span      *trace.Request // nil: the request is not traced
	BodyLimit int64          // of the endpoint, in bytes
	Allow     string         // the methods of the endpoint

	Header   []byte // header value being built
	body     []byte
	BodyRead bool
	// Unconditional says that the request is known to have no If-None-Match.
	Unconditional bool
	Reason        string // of a refusal, else ""
	id            string // see requestID; "" until it is needed
}

// Settings is the part of a configuration by which requests are read and
// answered. It is immutable.
type Settings struct {
	Limits    Limits
	Strict    Strictness
	PublicURL string // without a slash at its end; "" makes links relative
	Secure    bool   // clients come by https
	Trusted   edge.Trusted
}

// Begin prepares x for a request that has just arrived.
func (x *Exchange) Begin(ctx *fasthttp.RequestCtx, st *Settings) {
	x.Ctx, x.Settings, x.Started = ctx, st, now(ctx)
	x.Now = x.Started
}

// now is when a request reached the handler, which fasthttp has looked up already.
func now(ctx *fasthttp.RequestCtx) time.Time {
	if ctx == nil || ctx.Time().IsZero() {
		return time.Now()
	}
	return ctx.Time()
}

// Release drops what points into the request.
func (x *Exchange) Release() {
	x.Facts, x.Ctx, x.Settings, x.Span = Facts{}, nil, nil, nil
	x.BodyRead, x.Unconditional, x.Reason, x.id = false, false, "", ""
}

// Problem answers with p, and with the name under which the log has the request.
func (x *Exchange) Problem(p *problem.Problem) {
	WriteProblem(&x.Ctx.Response, p, x.Settings.PublicURL)
	x.Ctx.Response.Header.Set(requestIDHeader, x.RequestID())
}

// Unauthorized answers with p and the challenge that a 401 must carry.
func (x *Exchange) Unauthorized(p *problem.Problem, challenge string) {
	x.Problem(p)
	if p.Status == fasthttp.StatusUnauthorized {
		x.Ctx.Response.Header.Set("WWW-Authenticate", challenge)
	}
}

// Refuse answers with a fixed problem.
func (x *Exchange) Refuse(r *Refusal) {
	x.Problem(&r.Problem)
	if r == RefuseNotAllowed {
		x.Ctx.Response.Header.Set("Allow", x.Allow)
	}
	x.Reason = r.Reason
	if r.close {
		x.HangUp()
	}
}

// HangUp closes the connection after the answer, which the client gets to read
// even if it is still sending.
func (x *Exchange) HangUp() { HangUp(x.Ctx) }

// Left reports whether the client has gone. Then nothing more is read from its
// connection.
func (x *Exchange) Left() bool {
	if !Gone(NetConn(x.Ctx)) {
		return false
	}
	x.HangUp()
	return true
}

// SetHeader sets a header whose name is in canonical form. The value is copied.
func (x *Exchange) SetHeader(name, value []byte) { x.Ctx.Response.Header.SetCanonical(name, value) }

// Text answers with a short plain text.
func (x *Exchange) Text(code int, s string) {
	x.Ctx.SetStatusCode(code)
	h := &x.Ctx.Response.Header
	h.SetContentType("text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.Ctx.SetBodyString(s)
}

// ReadBody returns the body, which the endpoint limits.
// It is valid until the exchange is released. The memory that it takes grows
// with what has arrived, not with what was announced.
func (x *Exchange) ReadBody() ([]byte, *Refusal) {
	limit := x.BodyLimit
	x.body = x.body[:0]
	r := io.LimitReader(x.BodyStream(), limit+1)
	for {
		x.body = slices.Grow(x.body, 512)
		n, err := r.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		switch {
		case int64(len(x.body)) > limit:
			return nil, RefuseBodySize
		case err == io.EOF && int64(len(x.body)) < x.BodyLength:
			return nil, RefuseUnreadable
		case err == io.EOF:
			x.BodyRead = true
			return x.body, nil
		case IsTimeout(err):
			return nil, RefuseSlow
		case err != nil:
			return nil, RefuseUnreadable
		}
	}
}

// WantedBody is readBody for an endpoint that does nothing without a body. It
// answers the request itself when there is none, or it cannot be read.
func (x *Exchange) WantedBody() (body []byte, ok bool) {
	if !x.HasBody() {
		x.Problem(Invalid("the body is missing"))
		return nil, false
	}
	body, refused := x.ReadBody()
	if refused != nil {
		x.Refuse(refused)
		return nil, false
	}
	return body, true
}

// SkipBody reads a body that is of no use, since what follows it on the connection
// is. It answers the request itself if that cannot be done.
func (x *Exchange) SkipBody() (ok bool) {
	if !x.HasBody() {
		return true
	}
	_, refused := x.ReadBody()
	if refused != nil {
		x.Refuse(refused)
	}
	return refused == nil
}

func IsTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (x *Exchange) MethodNotAllowed(allow string) {
	x.Problem(&RefuseNotAllowed.Problem)
	x.Ctx.Response.Header.Set("Allow", allow)
}
