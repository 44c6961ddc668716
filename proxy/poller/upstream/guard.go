package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// errUnasked says that bytes came for which no request had been sent.
var errUnasked = errors.New("the upstream sent bytes that nobody had asked for")

// guard is an HTTP/1 connection that hands on no byte for which nothing was
// asked. It lies above TLS, whose session tickets are no answers.
type guard struct {
	net.Conn
	asked   atomic.Bool // bytes of a request were written since the last answer ended
	waiting atomic.Bool // a Read waits for the peer: all that came before has been taken
	unasked func()
}

// Read fails, and ends the connection, when the peer speaks first.
func (g *guard) Read(p []byte) (int, error) {
	g.waiting.Store(true)
	n, err := g.Conn.Read(p)
	g.waiting.Store(false)
	if n > 0 && !g.asked.Load() {
		g.spoil()
		return 0, errUnasked
	}
	return n, err
}

// Write fails, and ends the connection, when the peer spoke before the first
// byte of a request. What has not been read yet under TLS may be a session
// ticket; what else it is, Read will find.
func (g *guard) Write(p []byte) (int, error) {
	if !g.asked.Load() {
		if _, secure := g.Conn.(*tls.Conn); !secure && !silent(g.Conn) {
			g.spoil()
			return 0, errUnasked
		}
		g.asked.Store(true)
	}
	return g.Conn.Write(p)
}

func (g *guard) spoil() {
	g.Conn.Close()
	if g.unasked != nil {
		g.unasked()
	}
}

// answered notes that an answer was read to its end.
func (g *guard) answered() { g.asked.Store(false) }

// quiet reports whether the last answer was all that came: net/http has taken
// every byte, waits for the next one, and none is there.
func (g *guard) quiet() bool { return g.waiting.Load() && silent(g.Conn) }

// untouched reports whether no byte of the present request was written on c.
func (c *conn) untouched() bool { return c.guard != nil && !c.guard.asked.Load() }
