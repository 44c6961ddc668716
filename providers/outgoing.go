package providers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"pollux/providers/template"
)

// PollRequest returns the upstream's status request for r: the template's path
// below base, the sent parameters in the order of the file, fixed headers, and
// c. Nothing else is in it, whatever the caller sent.
func (p *Provider) PollRequest(ctx context.Context, base *url.URL, r Reference, c Credential) (*http.Request, error) {
	req, err := p.request(ctx, &p.Poll.Request, p.Poll.Body, base, r, c)
	if err != nil {
		return nil, fmt.Errorf("build status request of provider %s: %w", p.Name, err)
	}
	return req, nil
}

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
	req, err := p.request(ctx, &p.Cancel.Request, p.Cancel.Body, base, r, c)
	if err != nil {
		return nil, fmt.Errorf("build cancel request of provider %s: %w", p.Name, err)
	}
	return req, nil
}

func (p *Provider) request(ctx context.Context, t *template.Request, body template.Body, base *url.URL, r Reference, c Credential) (*http.Request, error) {
	u, err := p.target(t, base, r)
	if err != nil {
		return nil, err
	}
	u.RawQuery = string(c.appendQuery(t.AppendQuery(nil, p.Params, r.Values, body)))
	req := p.requestTo(ctx, t.Method, u, c)
	if body != nil {
		carry(req, body.Render(r.Values))
	}
	return req, nil
}

// target is where t leads for r, without a query.
func (p *Provider) target(t *template.Request, base *url.URL, r Reference) (*url.URL, error) {
	if len(r.Values) != len(p.Params) {
		return nil, fmt.Errorf("the reference has %d values, want %d", len(r.Values), len(p.Params))
	}
	var room [128]byte
	escaped := string(t.AppendPath(append(room[:0], strings.TrimSuffix(base.EscapedPath(), "/")...), r.Values))
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("escape path: %w", err)
	}
	// RawPath holds as long as it decodes to Path, so the wire has exactly
	// these bytes: %2F in a value stays %2F.
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path, RawPath: escaped}, nil
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

// appendQuery appends the credential's query parameters, as they were sent.
func (c Credential) appendQuery(dst []byte) []byte {
	for _, f := range c.Query {
		if len(dst) > 0 {
			dst = append(dst, '&')
		}
		dst = append(append(dst, f.Name...), '=')
		dst = appendSent(dst, f.Value)
	}
	return dst
}

// appendSent appends a query value that is escaped as its sender wanted, and
// escapes what could end it.
func appendSent(dst []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; c > ' ' && c < 0x7f && c != '&' && c != '#' {
			dst = append(dst, c)
		} else {
			dst = template.AppendQueryValue(dst, value[i:i+1])
		}
	}
	return dst
}
