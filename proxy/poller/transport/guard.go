package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var (
	// errUnasked says that bytes came for which no request had been sent.
	errUnasked = errors.New("the upstream sent bytes that nobody had asked for")
	errHungUp  = errors.New("the upstream hung up")
)

// guard is an HTTP/1 connection that hands on no byte for which nothing was
// asked, and nothing of an answer that is framed wrongly. It lies above TLS,
// whose session tickets are no answers.
type guard struct {
	net.Conn
	unasked func()

	mu     sync.Mutex // guards what follows
	asked  bool       // bytes of the present request have been written
	answer framing    // of the present request
	over   error      // why nothing more is read
}

// begin is called before a request is written, while nobody reads. It fails, and
// ends the connection, when the peer has spoken or hung up meanwhile.
func (g *guard) begin(method string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over == nil {
		if why := g.look(); why != nil {
			g.spoil(why)
		}
	}
	g.asked, g.answer = false, framing{head: method == "HEAD", line: g.answer.line[:0]}
	return g.over
}

// ticket is how long a look at a connection of TLS waits for what came to turn
// out to be a session ticket, which is no answer.
const ticket = time.Millisecond

// look returns what the peer did that nobody has read: errUnasked, errHungUp or
// nothing.
func (g *guard) look() error {
	came := unread(g.Conn)
	if came == peerClosed {
		return errHungUp
	}
	if _, secure := g.Conn.(*tls.Conn); !secure {
		if came == bytesCame {
			return errUnasked
		}
		return nil
	}
	until := time.Unix(1, 0) // only what TLS has taken off the wire already
	if came == bytesCame {
		until = time.Now().Add(ticket)
	}
	var one [1]byte
	_ = g.SetReadDeadline(until) // of a connection that is closed, Read tells
	n, err := g.Conn.Read(one[:])
	_ = g.SetReadDeadline(time.Time{})
	switch {
	case n > 0:
		return errUnasked
	case errors.Is(err, os.ErrDeadlineExceeded) && unread(g.Conn) == nothing:
		return nil
	}
	return errHungUp // or it is not known
}

// Read fails, and ends the connection, when the peer speaks first.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over == nil && (!g.asked || g.answer.ended()) {
		g.spoil(errUnasked)
	}
	if g.over != nil {
		return 0, g.over
	}
	after, bad := g.answer.take(p[:n])
	switch {
	case bad != nil:
		g.spoil(bad)
		return 0, bad
	case len(after) > 0: // the answer is whole, and nothing of what follows it is anybody's
		g.spoil(errUnasked)
		n -= len(after)
	}
	return n, err
}

// Write says that from here on there may be an answer.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	if g.over != nil {
		defer g.mu.Unlock()
		return 0, g.over
	}
	g.asked = true
	g.mu.Unlock()
	return g.Conn.Write(p)
}

// ReadFrom writes each piece of a body as it comes, and has bufio hold none back.
func (g *guard) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{g}, r)
}

// spoil ends the connection. The lock must be held.
func (g *guard) spoil(why error) {
	g.over = why
	g.Conn.Close()
	if why == errUnasked && g.unasked != nil {
		g.unasked()
	}
}

// spoilt reports whether the connection was ended.
func (g *guard) spoilt() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over != nil
}
