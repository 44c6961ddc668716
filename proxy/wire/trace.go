package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"

	"github.com/valyala/fasthttp"
)

const (
	traceparentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2
	// traceFlags are the flags that are defined: sampled, and random-trace-id.
	traceFlags = 0x03
	// maxRequestID bounds the X-Request-ID that is taken over.
	maxRequestID = 64
)

// Traceparent is the trace context of the polls that a request causes: its span's,
// or where it is not traced the caller's trace with a span of ours as the parent,
// "" where the caller sent none or a malformed one. Only what is keyed goes to an upstream otherwise.
// This may, since nothing that the caller wrote but the trace's own id goes
// along; tracestate, which holds whatever its senders like, does not.
func (x *Exchange) Traceparent() string {
	if x.Span != nil {
		return x.Span.Traceparent()
	}
	id, flags, ok := ParseTraceparent(&x.Ctx.Request.Header)
	if !ok {
		return ""
	}
	var span [8]byte
	for span == [8]byte{} { // all zero is invalid
		rand.Read(span[:]) // never fails
	}
	return "00-" + string(id) + "-" + hex.EncodeToString(span[:]) + "-" + hex.EncodeToString([]byte{flags & traceFlags})
}

// ParseTraceparent reads the one traceparent of a request (W3C Trace Context,
// section 3.2). A version after 00 may have more at its end, which is left out.
func ParseTraceparent(h *fasthttp.RequestHeader) (id []byte, flags byte, ok bool) {
	all := h.PeekAll("Traceparent")
	if len(all) != 1 {
		return nil, 0, false
	}
	v := all[0]
	if len(v) < traceparentLength || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return nil, 0, false
	}
	version, id, span, flag := v[:2], v[3:35], v[36:52], v[53:55]
	for _, part := range [...][]byte{version, id, span, flag} {
		if !lowerHex(part) {
			return nil, 0, false
		}
	}
	rest := v[traceparentLength:]
	switch {
	case string(version) == "ff", allZero(id), allZero(span):
		return nil, 0, false
	case len(rest) > 0 && (string(version) == "00" || rest[0] != '-'):
		return nil, 0, false
	}
	return id, Unhex(flag[0])<<4 | Unhex(flag[1]), true
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

func allZero(b []byte) bool {
	return len(bytes.TrimLeft(b, "0")) == 0
}

// RequestID names the request in the log and in problems: the caller's
// X-Request-ID if that is a plain one, else a random one.
func (x *Exchange) RequestID() string {
	if x.id != "" {
		return x.id
	}
	if sent := x.Ctx.Request.Header.Peek(requestIDHeader); plainID(sent) && !isCredential(sent, &x.Ctx.Request) {
		x.id = string(sent)
	} else {
		x.id = rand.Text()[:16]
	}
	return x.id
}

const requestIDHeader = "X-Request-Id" // canonical form, as fasthttp makes it

// isCredential reports whether id is what a header or a query of r that may
// hold a credential holds: it would stand in the log in clear.
func isCredential(id []byte, r *fasthttp.Request) bool {
	for name, value := range r.Header.All() {
		name = bytes.ToLower(name)
		secret := false
		for _, word := range [...]string{"key", "token", "auth", "secret", "cookie"} {
			secret = secret || bytes.Contains(name, []byte(word))
		}
		_, token, _ := bytes.Cut(value, []byte(" ")) // after a scheme
		if secret && (bytes.Equal(value, id) || bytes.Equal(token, id)) {
			return true
		}
	}
	_, query, _ := bytes.Cut(r.Header.RequestURI(), []byte("?"))
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		if _, value, _ := bytes.Cut(pair, []byte("=")); bytes.Equal(value, id) {
			return true
		}
	}
	return false
}

func plainID(b []byte) bool {
	for _, c := range b {
		if !(c == '.' || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxRequestID
}
