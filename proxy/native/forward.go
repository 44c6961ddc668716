package native

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
	"pollux/proxy/wire"
)

// forward passes a request on as it is, and its answer back, both as they come.
// It is sent once: whether it worked is for the caller to find out.
// body is the request's, from its start.
func (s *Service) forward(x *access.Request, t *access.Upstream, body io.Reader) {
	held, p := s.held(t)
	if p != nil {
		x.Problem(p)
		x.SetHeader(wire.HeaderCacheStatus, bypassed)
		return
	}
	to, refused := upstreamURL(x, t, held)
	if refused != nil {
		x.Refuse(refused)
		return
	}
	ctx, cancel := context.WithCancel(trace.With(s.life.Polls, x.Span.Passing(t.Name)))
	f := &forwarding{cancel: cancel, service: s, upstream: t, grant: x.Grant(access.ScopeSubmit, t)}
	f.lesson = s.newLesson(x, t, held)
	req := outgoing(x, to, f, held, body)
	f.watch(wire.NetConn(x.Ctx), s.life.Ending)
	res, p := t.Forward(f.lesson.partition, req.WithContext(ctx))
	x.BodyRead = f.upload == nil || f.upload.complete.Load()
	f.lesson.begun(res)
	if p != nil {
		f.end()
		if f.upload != nil && f.upload.failure() != nil {
			x.Refuse(uploadRefusal(f.upload.failure()))
			return
		}
		x.Problem(p)
		x.SetHeader(wire.HeaderCacheStatus, bypassed)
		return
	}
	s.passOn(x, f, res)
}

// held is the credential that Pollux holds for t, zero if it holds none. It may
// have to wait for an access token.
func (s *Service) held(t *access.Upstream) (providers.Credential, *problem.Problem) {
	ctx, cancel := context.WithTimeout(s.life.Polls, t.Config.Timeout)
	defer cancel()
	c, err := t.Authorize(ctx, providers.Credential{})
	why, _ := errors.AsType[*problem.Problem](err)
	return c, why
}

// upstreamURL is the upstream's URL for the request: what follows the upstream's
// name, byte for byte, below the path of the base URL.
func upstreamURL(x *access.Request, t *access.Upstream, held providers.Credential) (*url.URL, *wire.Refusal) {
	path := cmp.Or(strings.TrimSuffix(t.Base.EscapedPath(), "/")+string(x.Rest), "/")
	u := &url.URL{Scheme: t.Base.Scheme, Host: t.Base.Host}
	if query := x.Facts.Query; query != nil {
		u.RawQuery, u.ForceQuery = string(query), true
	}
	if t.Held && len(t.Query) > 0 {
		u.RawQuery = heldQuery(x, t, held)
	}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path // net/http writes it as it is
		return u, nil
	}
	// Opaque would turn these slashes into the mark of an authority.
	decoded, err := url.PathUnescape(path)
	if u.Path, u.RawPath = decoded, path; err != nil || u.EscapedPath() != path {
		return nil, refuseDoubleSlash
	}
	return u, nil
}

// heldQuery is the query without what stands for a credential, and with the
// one that Pollux holds.
func heldQuery(x *access.Request, t *access.Upstream, held providers.Credential) string {
	var kept []string
	for pair := range strings.SplitSeq(string(x.Facts.Query), "&") {
		if name, _, _ := strings.Cut(pair, "="); pair != "" && access.IndexOf(t.Query, []byte(name)) < 0 {
			kept = append(kept, pair)
		}
	}
	for _, f := range held.Query {
		kept = append(kept, f.Name+"="+f.Value)
	}
	return strings.Join(kept, "&")
}

// outgoing is the request for the upstream. Nothing in it points into x.
func outgoing(x *access.Request, to *url.URL, f *forwarding, held providers.Credential, body io.Reader) *http.Request {
	t, h := f.upstream, &x.Ctx.Request.Header
	header := forwardedHeader(h.RawHeaders(), notForwarded(t))
	for _, field := range held.Headers {
		header[field.Name] = []string{field.Value}
	}
	req := &http.Request{
		Method: string(h.Method()), URL: to, Host: t.Base.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	f.lesson.prepare(header)
	switch {
	case x.HasBody():
		f.upload = newUpload(wire.NetConn(x.Ctx), body, x.BodyLength, f.lesson.listen())
		f.lesson.sent = f.upload
		req.Body, req.ContentLength = f.upload, x.BodyLength
	case req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH":
		req.Body = http.NoBody // sent with Content-Length: 0
	}
	return req
}

// passOn answers x with what the upstream said.
func (s *Service) passOn(x *access.Request, f *forwarding, res *http.Response) {
	resp := &x.Ctx.Response
	keepDate(&resp.Header, res.Header.Values("Date"))
	resp.SetStatusCode(res.StatusCode)
	if _, reason, ok := strings.Cut(res.Status, " "); ok && reason != http.StatusText(res.StatusCode) && fieldValue(reason) {
		resp.Header.SetStatusMessage([]byte(reason))
	}
	relinked := f.lesson.relinked(res)
	f.answering(res.Header)
	passHeader(&resp.Header, res.Header, &f.lesson.links)
	d := &download{forwarding: f, body: res.Body, left: res.ContentLength}
	switch {
	case string(x.Ctx.Method()) == "HEAD":
		if res.ContentLength >= 0 {
			resp.Header.SetContentLength(int(res.ContentLength))
		}
		_ = d.Close()
	case relinked != nil:
		resp.SetBodyRaw(relinked)
		_ = d.Close()
	case res.StatusCode == 204 || res.StatusCode == 304 || res.ContentLength == 0:
		f.lesson.finished()
		_ = d.Close()
	case res.ContentLength < 0 && !x.Ctx.Request.Header.IsHTTP11():
		s.passOnUnframed(x, d)
	default:
		resp.ImmediateHeaderFlush = true
		resp.SetBodyStream(d, int(res.ContentLength))
	}
}

// passOnUnframed answers an HTTP/1.0 client with a body of unknown length: it
// cannot read chunks, so the body ends with the connection.
func (s *Service) passOnUnframed(x *access.Request, d *download) {
	c := wire.NetConn(x.Ctx)
	h := &x.Ctx.Response.Header
	h.SetContentLength(-2) // says Connection: close
	head := h.AppendBytes(nil)
	s.life.Streams.Add(1)
	x.Ctx.HijackSetNoResponse(true)
	x.Ctx.Hijack(func(net.Conn) {
		defer s.life.Streams.Done()
		defer d.Close()
		if _, err := c.Write(head); err == nil {
			_, _ = d.WriteTo(c) // the client sees a failure as the connection's end
		}
	})
}
