package wire

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/edge"
)

// A refused client may still be sending. Closing at once would answer its bytes
// with a reset, which can destroy the problem before it is read.
const (
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 2 << 20 // more than a body that is just too large
)

// Conn is an accepted connection. It is counted until it is closed.
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix // whom it counts for; guarded by the listener's mutex
	closing  sync.Once
	linger   atomic.Bool // the client may still be sending
	// announced is set until a trusted proxy has said whose connection it is.
	// Only the connection's own goroutine uses it.
	announced *edge.Announced

	// lineSeen tells a request line that is too long from headers that are.
	// Only the connection's own goroutine uses it.
	LineSeen bool
	requests requests // likewise
	Last     Last     // likewise
	// unwritten says that an answer was made since the last write.
	Unwritten bool

	// wanted is the deadline that the next read is to have, and reading the one
	// that reads have, zero if that is not known. Only the connection's own
	// goroutine uses them.
	wanted, reading time.Time
	unset           bool // wanted is not set yet
}

// crowd is from how many connections per processor on one that is busy lets the
// others run before it reads. Fewer leave processors idle, which it would wake.
const crowd = 8

// SetReadDeadline is for the connection's own goroutine, between reads: it takes
// effect with the next one, and up to rearm earlier than asked. The server asks
// twice per request, and most requests need one read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.wanted, c.unset = t, true
	return nil
}

// SetDeadline is SetReadDeadline, see [patient].
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// setDeadline sets what SetReadDeadline was told last. It reports whether the
// connection is busy, so that what was set within rearm will do.
func (c *Conn) setDeadline() (busy bool, _ error) {
	if !c.unset {
		return false, nil
	}
	c.unset = false
	if early := c.wanted.Sub(c.reading); early >= 0 && early < rearm && !c.wanted.IsZero() {
		return true, nil
	}
	c.reading = c.wanted
	return false, c.Conn.SetReadDeadline(c.wanted)
}

func (c *Conn) Write(p []byte) (int, error) {
	c.Unwritten = false
	return c.Conn.Write(p)
}

func (c *Conn) Read(p []byte) (int, error) {
	if c.announced != nil {
		client := c.announced.Client()
		c.announced = nil
		if client != nil && !c.listener.identify(c, client) {
			return 0, net.ErrClosed
		}
	}
	if c.requests.bad {
		return 0, errChunks
	}
	busy, err := c.setDeadline()
	if err != nil {
		return 0, err
	}
	if busy && c.listener.total.Load() >= c.listener.crowd {
		// The next request is then likelier to have come. One that has not costs
		// another call of the kernel, and a look for what else has come.
		runtime.Gosched()
	}
	n, err := c.Conn.Read(p)
	if c.requests.between() && c.Last.read(p[:n]) {
		c.LineSeen = true
		return n, err
	}
	if good := c.requests.take(p[:n]); good < n {
		if n, err = good, nil; n == 0 {
			return 0, errChunks
		}
	}
	if !c.LineSeen {
		for _, b := range p[:n] {
			if b == '\n' {
				c.LineSeen = true
				break
			}
		}
	}
	return n, err
}

// Close closes the connection. After a refusal it first lets the client read
// its answer, for a moment and a bounded number of bytes.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
		err = c.Conn.Close()
		c.listener.release(c)
	})
	return err
}

// NetConn is the connection itself, below our bookkeeping, for whoever sets
// deadlines of its own or takes it over.
func NetConn(ctx *fasthttp.RequestCtx) net.Conn {
	if c, ok := ctx.Conn().(*Conn); ok {
		_, _ = c.setDeadline() // a closed one fails when it is used
		c.reading = time.Time{}
		return c.Conn
	}
	return ctx.Conn()
}

// HeldBack reports whether answers to earlier requests of a pipeline have not
// been written yet: fasthttp keeps them back while the next request is served.
func HeldBack(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(*Conn)
	return ok && c.Unwritten
}

// HangUp closes the connection of ctx as exchange.hangUp says.
func HangUp(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*Conn); ok {
		c.linger.Store(true)
	}
}
