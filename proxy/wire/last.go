package wire

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// maxLast is the longest head that a connection keeps, in bytes: one with a long
// token fits.
const maxLast = 4 << 10

// Last is the head of the request that a connection was last answered from
// memory, and what it was found to mean. Who polls sends the same header block
// again and again, and it needs no second look. It holds a credential, so it ends
// with the connection. Only the connection's own goroutine uses it.
type Last struct {
	target, fields []byte
	Meaning        any // kept for what it holds when the head is replaced; whoever sets it says whether it still counts
}

const (
	lastMethod   = "GET /"
	lastProtocol = " HTTP/1.1\r"
)

// Keep remembers the head of a GET that passed the strict check and has no body.
// It reports whether it did.
func (l *Last) Keep(h *fasthttp.RequestHeader) bool {
	target, fields := h.RequestURI(), h.RawHeaders()
	if len(target)+len(fields) > maxLast || len(fields) == 0 || !h.IsGet() || string(h.Protocol()) != "HTTP/1.1" {
		return false
	}
	l.target = replaced(l.target, target)
	l.fields = replaced(l.fields, fields)
	return true
}

// replaced is next in the memory of old, of which nothing is left.
func replaced(old, next []byte) []byte {
	if bytes.Equal(old, next) {
		return old
	}
	clear(old)
	return append(old[:0], next...)
}

// Like reports whether h has that head but for its target, byte for byte, so that
// whatever was found out about the one header block is true of the other.
func (l *Last) Like(h *fasthttp.RequestHeader) bool {
	return len(l.fields) > 0 && bytes.Equal(l.fields, h.RawHeaders()) && h.IsGet() && string(h.Protocol()) == "HTTP/1.1"
}

// Target is the target of that head.
func (l *Last) Target() []byte { return l.target }

// read reports whether p is one whole request that Like may be asked about.
func (l *Last) read(p []byte) bool {
	end := len(p) - len(l.fields) - 1
	return len(l.fields) > 0 && end >= 0 && p[end] == '\n' && bytes.Equal(p[end+1:], l.fields) &&
		bytes.HasPrefix(p, []byte(lastMethod)) && bytes.HasSuffix(p[:end], []byte(lastProtocol)) && bytes.IndexByte(p[:end], '\n') < 0
}

// Forget is called when the connection has ended.
func (l *Last) Forget() {
	clear(l.target)
	clear(l.fields)
	*l = Last{}
}

// LastOf is what the connection of ctx remembers, nil if it is none of ours.
func LastOf(ctx *fasthttp.RequestCtx) *Last {
	if c, ok := ctx.Conn().(*Conn); ok {
		return &c.Last
	}
	return nil
}
