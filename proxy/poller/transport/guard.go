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

// begin is told of a request that is about to be written.
func (g *guard) begin(method string) {
	g.mu.Lock()
	g.asked, g.answer = false, framing{head: method == "HEAD", line: g.answer.line[:0]}
	g.mu.Unlock()
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

// Write fails, and ends the connection, when the peer spoke or hung up before the
// first byte of a request. What has not been read yet under TLS may be a session
// ticket; what else it is, Read will find.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	if !g.asked && g.over == nil && !g.secure() {
		switch unread(g.Conn) {
		case bytesCame:
			g.spoil(errUnasked)
		case peerClosed:
			g.spoil(errHungUp)
		}
	}
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

func (g *guard) secure() bool {
	_, ok := g.Conn.(*tls.Conn)
	return ok
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

// quiet reports whether the last answer was all that came. No Read may be under
// way.
func (g *guard) quiet() bool {
	if g.spoilt() || unread(g.Conn) != nothing {
		return false
	}
	if !g.secure() {
		return true
	}
	// What TLS has taken off the wire, and nobody from TLS: without waiting.
	var one [1]byte
	if g.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	n, err := g.Conn.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && g.SetReadDeadline(time.Time{}) == nil
}

// untouched reports whether no byte of the present request was written.
func (g *guard) untouched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.asked
}

// arrival is what a peer has done unasked.
type arrival int

const (
	nothing arrival = iota
	bytesCame
	peerClosed // or the connection broke
)
