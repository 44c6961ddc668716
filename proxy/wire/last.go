package wire

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// maxLast is the longest head that a connection keeps, in bytes: one with a long
// token fits.
const maxLast = 4 << 10

// Last is the head of the request that a connection was last answered from
// memory, and what it was found to mean. Who polls sends the same bytes again and
// again, and they need no second look. It holds a credential, so it ends with the
// connection. Only the connection's own goroutine uses it.
type Last struct {
	head    []byte // as it would be sent: GET, target, HTTP/1.1 and the header block
	Meaning any    // kept for what it holds when head is replaced; whoever sets it says whether it still counts
}

const (
	lastMethod   = "GET "
	lastProtocol = " HTTP/1.1\r\n"
)

// Keep remembers the head of a GET that passed the strict check and has no body.
// It reports whether it did.
func (l *Last) Keep(h *fasthttp.RequestHeader) bool {
	target, fields := h.RequestURI(), h.RawHeaders()
	if len(target)+len(fields) > maxLast || !h.IsGet() || string(h.Protocol()) != "HTTP/1.1" {
		return false
	}
	if l.Is(h) {
		return true
	}
	clear(l.head)
	l.head = append(append(append(append(l.head[:0], lastMethod...), target...), lastProtocol...), fields...)
	return true
}

// Is reports whether h is that head, byte for byte, so that whatever was found
// out about the one is true of the other.
func (l *Last) Is(h *fasthttp.RequestHeader) bool {
	if len(l.head) == 0 {
		return false
	}
	target, fields := h.RequestURI(), h.RawHeaders()
	rest := l.head[len(lastMethod):]
	return len(rest) == len(target)+len(lastProtocol)+len(fields) && bytes.Equal(rest[len(rest)-len(fields):], fields) &&
		bytes.Equal(rest[:len(target)], target) && h.IsGet() && string(h.Protocol()) == "HTTP/1.1"
}

// read reports whether p is that request, and nothing else.
func (l *Last) read(p []byte) bool { return len(l.head) > 0 && bytes.Equal(p, l.head) }

// Forget is called when the connection has ended.
func (l *Last) Forget() {
	clear(l.head)
	*l = Last{}
}

// LastOf is what the connection of ctx remembers, nil if it is none of ours.
func LastOf(ctx *fasthttp.RequestCtx) *Last {
	if c, ok := ctx.Conn().(*Conn); ok {
		return &c.Last
	}
	return nil
}
