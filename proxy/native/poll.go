package native

import (
	"bytes"
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// serveNativePoll answers a status poll with the upstream's own bytes.
func (s *Service) serveNativePoll(x *access.Request, t *access.Upstream) {
	part := x.EnterTask(t)
	d := x.Directives()
	if !d.NoCache || d.OnlyIfCached {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.Key, x.Now); ok {
			s.answerNative(x, t, part, &a)
			return
		}
	}
	r := x.PollRequest(t, part, d)
	a := s.engine.Poll(context.Background(), r)
	x.Now = time.Now()
	s.answerNative(x, t, part, &a)
}

// answerNative writes what a native poll came to: what the upstream said to
// this very poll, else what is stored, else a problem. A 304 answers nothing:
// no validator was sent.
func (s *Service) answerNative(x *access.Request, t *access.Upstream, part *upstream.Partition, a *poller.Answer) {
	h := &x.Ctx.Response.Header
	l := pollLinks(x, t)
	raw, e := a.Raw, a.Entry
	if raw != nil && raw.Code == fasthttp.StatusNotModified {
		raw = nil
	}
	if e != nil && e.NativeCode == 0 { // created, and no poll has been answered yet
		e = nil
	}
	switch {
	case raw != nil:
		rawHead(x, t, raw, &l)
		x.Ctx.Response.SetBodyRaw(l.body(raw.Body))
		held := a.Cache.Detail == problem.DetailHeld
		if e != nil && a.Cache.FwdStatus == 0 && !held { // it was a good answer
			etag := e.NativeETag
			if !bytes.Equal(raw.Body, e.Native) { // it was not what is remembered
				etag = wire.DerivedETag(etag, raw.Body)
			}
			describeNative(x, t, part, a, l.etag(etag))
			return
		}
		x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
		if !held {
			a.Cache.Detail = problem.NoDetail // it would speak of a stored answer, and this is none
		} else {
			a.Cache = problem.CacheStatus{Detail: problem.DetailHeld} // likewise
		}
	case e != nil:
		x.Ctx.SetStatusCode(e.NativeCode)
		if fieldValue(e.NativeType) {
			h.SetContentType(e.NativeType)
		}
		l.headers(h, e.NativeHeader)
		if !e.Terminal && h.PeekBytes(wire.HeaderRetryAfter) != nil { // it counted from when it was said
			x.PollAfter(t, part, a)
		}
		x.Ctx.Response.SetBodyRaw(l.body(e.Native))
		describeNative(x, t, part, a, l.etag(e.NativeETag))
		return
	default:
		p := a.Problem
		if p == nil { // only what Pollux itself knows is left
			p = &problem.Problem{Type: problem.UpstreamError, Status: 502, Upstream: t.Name, Detail: "the upstream did not answer, and nothing of it is stored"}
		}
		x.Unauthorized(p, t.Challenge)
	}
	x.CameAbout(a.Cache, a.Age, a.RetryAfter)
}

// rawHead sets what an upstream's answer says of itself.
func rawHead(x *access.Request, t *access.Upstream, raw *upstream.Raw, l *links) {
	x.Ctx.SetStatusCode(raw.Code)
	h := &x.Ctx.Response.Header
	if raw.ContentType != "" && fieldValue(raw.ContentType) {
		h.SetContentType(raw.ContentType)
	}
	x.SetHeader(wire.HeaderSniff, wire.NoSniff)
	l.headers(h, raw.Header)
	switch {
	case raw.Challenge != "" && fieldValue(raw.Challenge):
		h.Set("WWW-Authenticate", raw.Challenge)
	case raw.Code == fasthttp.StatusUnauthorized:
		h.Set("WWW-Authenticate", t.Challenge)
	}
}

// describeNative is describe for native bytes, and answers 304 to a caller who
// has them already.
func describeNative(x *access.Request, t *access.Upstream, part *upstream.Partition, a *poller.Answer, etag string) {
	x.Describe(etag, t.Validity(part, a, x.Now), t.NativeVary)
	if x.Unchanged(etag) {
		t.NotModified(a.Cache)
	}
}

// fieldValue reports whether an upstream's header value may be repeated: no
// control character, which would end it early, and nothing beyond ASCII, which
// clients read in different ways.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}
