package native

import (
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// hopByHop are the headers that are about one connection (RFC 9110, section
// 7.6.1), beside those that Connection names.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// bypassed is the Cache-Status of what is passed on.
var bypassed = problem.CacheStatus{Forward: problem.FwdBypass}.Append(nil)

// ours are request headers that are not passed on: framing and target are made
// anew, 100 Continue has been sent, and the key is for Pollux.
var ours = []string{"Host", "Content-Length", "Expect", access.KeyHeader}

// forwardedHeader copies a request's header block, which has passed the strict
// check, without what is about this connection and what drop names.
func forwardedHeader(raw []byte, drop []string) http.Header {
	h := make(http.Header, 16)
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			break
		}
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		h[key] = append(h[key], string(wire.TrimOWS(value)))
	}
	dropHopByHop(h)
	for _, list := range [...][]string{ours, drop} {
		for _, name := range list {
			h.Del(name)
		}
	}
	if cookies := h.Get("Cookie"); cookies != "" {
		if rest := access.WithoutSession([]byte(cookies)); len(rest) == 0 {
			h.Del("Cookie")
		} else {
			h.Set("Cookie", string(rest))
		}
	}
	if _, sent := h["User-Agent"]; !sent {
		h["User-Agent"] = []string{""} // or net/http would send its own
	}
	return h
}

func dropHopByHop(h http.Header) {
	for _, options := range h["Connection"] {
		for option := range strings.SplitSeq(options, ",") {
			h.Del(strings.TrimSpace(option))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// notForwarded are the request headers that may hold a Pollux key where a
// credential of the upstream would be; nil in caller mode.
func notForwarded(t *access.Upstream) []string {
	if !t.Held {
		return nil
	}
	return append(slices.Clone(t.Provider.Identity.Headers), "Authorization")
}

// activeDocument reports whether a browser would run scripts of such a body:
// under our address they could do what the dashboard can.
func activeDocument(contentType string) bool {
	media := providers.MediaType(contentType)
	return media == "text/html" || strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml")
}

// passHeader copies the header of a forwarded answer, without its Date. Values hold no control
// character, or net/http would have refused the answer; bytes beyond ASCII are
// opaque and pass (RFC 9110, section 5.5).
func passHeader(dst *fasthttp.ResponseHeader, h http.Header, l *links) {
	dropHopByHop(h)
	if activeDocument(h.Get("Content-Type")) {
		h.Add("Content-Security-Policy", "sandbox")
	}
	for name, values := range h {
		if name == "Content-Length" || name == "Date" {
			continue
		}
		for _, value := range values {
			dst.Add(name, l.header(name, value))
		}
	}
	dst.AddBytesV("Cache-Status", bypassed)
}
