package providers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// PollRequest returns the upstream's status request for r: the template's path
// below base, the sent parameters in the order of the file, fixed headers, and
// c. Nothing else is in it, whatever the caller sent. net/http never repeats it.
func (p *Provider) PollRequest(ctx context.Context, base *url.URL, r Reference, c Credential) (*http.Request, error) {
	req, err := p.request(ctx, &p.Poll.Request, base, r, c)
	if err != nil {
		return nil, fmt.Errorf("build status request of provider %s: %w", p.Name, err)
	}
	if p.Poll.Body != nil {
		carry(req, p.Poll.Body.render(r.Values))
	} else {
		neverRepeated(req)
	}
	return req, nil
}

// neverRepeated keeps net/http from repeating a GET by itself when a reused
// connection turns out to be dead: it does not if there is a body that cannot
// be had again. This one is empty, so nothing of it is on the wire.
func neverRepeated(req *http.Request) { req.Body = emptyBody{} }

// carry gives req a JSON body, one that cannot be had again.
func carry(req *http.Request, body []byte) {
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.ContentLength = int64(len(body))
}

// CancelRequest returns the upstream's request to cancel the task r. The
// provider must be able to: Cancel is not nil.
func (p *Provider) CancelRequest(ctx context.Context, base *url.URL, r Reference, c Credential) (*http.Request, error) {
	req, err := p.request(ctx, &p.Cancel.Request, base, r, c)
	if err != nil {
		return nil, fmt.Errorf("build cancel request of provider %s: %w", p.Name, err)
	}
	if p.Cancel.Body != nil {
		carry(req, p.Cancel.Body.render(r.Values))
	}
	return req, nil
}

func (p *Provider) request(ctx context.Context, t *Request, base *url.URL, r Reference, c Credential) (*http.Request, error) {
	if len(r.Values) != len(p.Params) {
		return nil, fmt.Errorf("the reference has %d values, want %d", len(r.Values), len(p.Params))
	}
	var room [128]byte
	escaped := string(t.appendPath(append(room[:0], strings.TrimSuffix(base.EscapedPath(), "/")...), r.Values))
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("escape path: %w", err)
	}
	// RawPath holds as long as it decodes to Path, so the wire has exactly
	// these bytes: %2F in a value stays %2F.
	u := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path, RawPath: escaped, RawQuery: string(p.appendQuery(nil, t, r, c))}
	return p.requestTo(ctx, t.Method, u, c), nil
}

// Values of headers that every request has. They are shared: whoever adds to one
// gets a copy, since they are full.
var ownAccept, ownCodings, ownName = []string{"application/json"}, []string{"gzip"}, []string{"pollux"}

// requestTo is a request to any URL with Pollux's own headers, the file's, and
// those of c.
func (p *Provider) requestTo(ctx context.Context, method string, u *url.URL, c Credential) *http.Request {
	req := &http.Request{
		Method: method, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":          ownAccept,
			"Accept-Encoding": ownCodings,
			"User-Agent":      ownName,
		},
	}
	for _, f := range p.Poll.Headers {
		req.Header[f.Name] = []string{f.Value}
	}
	for _, f := range c.Select {
		req.Header[f.Name] = []string{f.Value}
	}
	for _, f := range c.Headers {
		req.Header[f.Name] = append(req.Header[f.Name], f.Value)
	}
	return req.WithContext(ctx)
}

// appendQuery appends the template's query, then every other query parameter
// that was sent, in the order of the file, then the credential's.
func (p *Provider) appendQuery(dst []byte, t *Request, r Reference, c Credential) []byte {
	pair := func(name string) {
		if len(dst) > 0 {
			dst = append(dst, '&')
		}
		dst = append(append(dst, name...), '=')
	}
	for _, q := range t.query {
		switch {
		case q.param == literal:
			pair(q.name)
			dst = append(dst, q.value...)
		case r.Values[q.param] != "":
			pair(q.name)
			dst = appendQueryValue(dst, r.Values[q.param])
		}
	}
	for i, param := range p.Params {
		if _, there := t.uses(i); param.In != "query" || there > 0 || r.Values[i] == "" || p.inBody(t, i) {
			continue
		}
		pair(param.Name)
		dst = appendQueryValue(dst, r.Values[i])
	}
	for _, f := range c.Query {
		pair(f.Name)
		dst = appendSent(dst, f.Value)
	}
	return dst
}

// inBody reports whether the request t carries the parameter in its body.
func (p *Provider) inBody(t *Request, param int) bool {
	return p.Cancel != nil && t == &p.Cancel.Request && p.Cancel.Body.holds(param)
}

// appendSent appends a query value that is escaped as its sender wanted, and
// escapes what could end it.
func appendSent(dst []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; c > ' ' && c < 0x7f && c != '&' && c != '#' {
			dst = append(dst, c)
		} else {
			dst = appendQueryValue(dst, value[i:i+1])
		}
	}
	return dst
}

// emptyBody is a request body of no bytes that is not http.NoBody.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
