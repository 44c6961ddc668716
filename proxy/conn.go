package proxy

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A refused client may still be sending. Closing at once would answer its bytes
// with a reset, which can destroy the problem before it is read.
const (
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// conn is an accepted connection. It is counted until it is closed.
type conn struct {
	net.Conn
	listener *guardedListener
	from     netip.Prefix
	closing  sync.Once
	linger   atomic.Bool // the client may still be sending

	// lineSeen tells a request line that is too long from headers that are.
	// Only the connection's own goroutine uses it.
	lineSeen bool
	// unwritten says that an answer was made since the last write.
	unwritten bool
}

func (c *conn) Write(p []byte) (int, error) {
	c.unwritten = false
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.lineSeen {
		for _, b := range p[:n] {
			if b == '\n' {
				c.lineSeen = true
				break
			}
		}
	}
	return n, err
}

// Close closes the connection. After a refusal it first lets the client read
// its answer, for a moment and a bounded number of bytes.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
		err = c.Conn.Close()
		c.listener.release(c.from)
	})
	return err
}

// netConn is the connection itself, below our bookkeeping.
func netConn(ctx *fasthttp.RequestCtx) net.Conn {
	if c, ok := ctx.Conn().(*conn); ok {
		return c.Conn
	}
	return ctx.Conn()
}

// heldBack reports whether answers to earlier requests of a pipeline have not
// been written yet: fasthttp keeps them back while the next request is served.
func heldBack(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(*conn)
	return ok && c.unwritten
}

// hangUp closes the connection of ctx as exchange.hangUp says.
func hangUp(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
}
