package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// errUnasked says that bytes came for which no request had been sent.
var errUnasked = errors.New("the upstream sent bytes that nobody had asked for")

// guard is an HTTP/1 connection that hands on no byte for which nothing was
// asked, and nothing of an answer that is framed wrongly. It lies above TLS,
// whose session tickets are no answers.
type guard struct {
	net.Conn
	unasked func()
	waiting atomic.Bool // a Read waits for the peer: all that came before has been taken

	mu     sync.Mutex // guards what follows
	asked  bool       // bytes of the present request have been written
	answer framing    // of the present request
	over   error      // why nothing more is read
}

// begin is told of a request that is about to be written.
func (g *guard) begin(method string) {
	g.mu.Lock()
	g.asked, g.answer = false, framing{head: method == "HEAD", line: g.answer.line[:0]}
	g.mu.Unlock()
}

// Read fails, and ends the connection, when the peer speaks first.
func (g *guard) Read(p []byte) (int, error) {
	g.waiting.Store(true)
	n, err := g.Conn.Read(p)
	g.waiting.Store(false)
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

// Write fails, and ends the connection, when the peer spoke before the first
// byte of a request. What has not been read yet under TLS may be a session
// ticket; what else it is, Read will find.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	if _, secure := g.Conn.(*tls.Conn); !g.asked && g.over == nil && !secure && !silent(g.Conn) {
		g.spoil(errUnasked)
	}
	if g.over != nil {
		defer g.mu.Unlock()
		return 0, g.over
	}
	g.asked = true
	g.mu.Unlock()
	return g.Conn.Write(p)
}

// spoil ends the connection. The lock must be held.
func (g *guard) spoil(why error) {
	g.over = why
	g.Conn.Close()
	if why == errUnasked && g.unasked != nil {
		g.unasked()
	}
}

// quiet reports whether the last answer was all that came: net/http has taken
// every byte, waits for the next one, and none is there.
func (g *guard) quiet() bool {
	g.mu.Lock()
	over := g.over
	g.mu.Unlock()
	return over == nil && g.waiting.Load() && silent(g.Conn)
}

// untouched reports whether no byte of the present request was written.
func (g *guard) untouched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.asked
}
