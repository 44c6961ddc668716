// Package transport is what an upstream's requests go through: connections that
// are never shared between partitions.
//
// A server, or a proxy before it, that writes one answer too many on a
// connection has the next request on it take that answer. net/http.Transport
// notices only while the connection is idle; under load it never is, and the
// next request may be anybody's. So each partition has connections of its own,
// a connection is used again only once nothing unasked has come on it for a
// while, and no request is ever sent twice.
package transport

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/proxy/egress"
	"pollux/proxy/roots"
)

const (
	// idleFor is below the five seconds after which common application servers
	// close a silent connection: a request that is never repeated is lost when
	// it meets such a connection.
	idleFor = 3 * time.Second
	// readAfter is how long a connection must have been silent before it is
	// used for a request that changes nothing, and writeAfter for any other:
	// an answer too many comes within milliseconds of the one before it.
	readAfter  = 10 * time.Millisecond
	writeAfter = 250 * time.Millisecond
	// headerBytes bounds the header block of an answer.
	headerBytes = 256 << 10
)

// Config says how an upstream is connected to.
type Config struct {
	Base *url.URL
	// Roots are the authorities whose certificates are believed. Nil means the
	// system's.
	Roots *x509.CertPool
	// Proxy is what stands between, nil if nothing does. Requests to a Base in
	// clear are sent to it, others go through a tunnel that it opens.
	Proxy *egress.Proxy
	// DialTimeout bounds connecting, proxy and TLS handshake included.
	DialTimeout time.Duration
	// Patience is how long an answer may take to begin. Zero means for ever.
	Patience time.Duration
	// MaxIdle is how many connections without a request are kept, of all
	// partitions together; the one that has been idle longest goes first.
	MaxIdle int
	// Unasked, if set, is called for each connection that was given up because
	// it held bytes that nobody had asked for. It must not block.
	Unasked func()
	Panics  *roots.Roots // of goroutines that close connections
}

// Connections are the connections to one upstream, each of one partition. They
// are safe for concurrent use.
type Connections struct {
	cfg         Config
	address     string
	transport   *http.Transport // for HTTP/2
	tls         *tls.Config
	multiplexed atomic.Bool // the upstream has spoken HTTP/2
	mu          sync.Mutex  // guards what follows; nothing is closed under it
	open        map[cache.ID][]*conn
	dialing     map[cache.ID]chan struct{} // closed when that connection stands, or does not
	idle        list.List                  // of *conn without a request, the longest idle first
	reaper      *time.Timer
	closed      bool
}

// conn is one connection. HTTP/1 has one request at a time on it, HTTP/2 many,
// whose frames say what they answer.
type conn struct {
	http1 *http1 // one of the two is nil
	http2 *http.ClientConn
	owner cache.ID
	kept  bool // by its owner, after its first request

	active    int // requests; this and what follows is guarded by Connections.mu
	idleSince time.Time
	place     *list.Element // in Connections.idle
	retired   bool          // takes no request more
}

// New returns connections of which none is open yet. It starts no goroutine.
func New(cfg Config) *Connections {
	port := cmp.Or(cfg.Base.Port(), map[string]string{"http": "80", "https": "443"}[cfg.Base.Scheme])
	cs := &Connections{
		cfg: cfg, address: net.JoinHostPort(cfg.Base.Hostname(), port),
		open: map[cache.ID][]*conn{}, dialing: map[cache.ID]chan struct{}{},
	}
	cs.transport, cs.tls = newTransport(&cs.cfg), newTLS(&cs.cfg)
	return cs
}

// RoundTrip sends req once, on a connection of owner's; nil stands for nobody,
// whose connection serves this one request. The answer's body is a *Body. The
// error is a *Malformed for an answer that is none, and an *egress.Error where
// the proxy let nothing through. The request's body may be left open, and may be
// read while, and after, the answer comes: the caller closes it.
func (cs *Connections) RoundTrip(owner *cache.ID, req *http.Request) (*http.Response, error) {
	for {
		c, fresh, err := cs.take(owner, req)
		if err != nil {
			return nil, err
		}
		res, err := c.ask(cs, req, !fresh)
		if err == nil {
			return cs.answered(c, res)
		}
		if cs.finish(c, false); err != errStale {
			return nil, err
		}
	}
}

// answered gives res the body that ends its request on c.
func (cs *Connections) answered(c *conn, res *http.Response) (*http.Response, error) {
	body := &Body{ReadCloser: res.Body, connections: cs, conn: c}
	body.whole.Store(res.Body == http.NoBody)
	res.Body = body
	if res.StatusCode < 200 || res.StatusCode > 599 { // none, or not a final one (RFC 9110, section 15)
		body.Discard()
		return nil, &Malformed{"its status code is none that ends a request"}
	}
	if res.StatusCode == http.StatusProxyAuthRequired && cs.throughProxy() { // the upstream was not asked
		body.Discard()
		return nil, &egress.Error{Code: res.StatusCode}
	}
	return res, nil
}

// ask sends req on c, on which there was a request before if it is reused.
func (c *conn) ask(cs *Connections, req *http.Request, reused bool) (*http.Response, error) {
	if c.http2 != nil {
		return c.http2.RoundTrip(req)
	}
	return c.http1.ask(cs, req, reused)
}

// done ends a request whose answer has body, and reports whether c is good for
// another one. whole says that the answer was read to its end.
func (c *conn) done(body io.Closer, whole bool) bool {
	if c.http2 != nil {
		_ = body.Close() // ends the stream, whatever it says
		return whole
	}
	return c.http1.done(whole) // a body that is not whole is left on the connection
}

// spent reports whether c takes no other request, as far as is known without
// looking at it: nobody reads an idle connection of HTTP/1, and whether it was
// closed shows when it is used, or when it has been idle for too long.
func (c *conn) spent() bool {
	return c.http2 != nil && c.http2.Err() != nil
}

func (c *conn) close() {
	if c.http2 != nil {
		_ = c.http2.Close() // nothing is on it that could be lost
		return
	}
	_ = c.http1.Conn.Close()
}

// take returns a connection with room for req, opening one if there is none.
func (cs *Connections) take(owner *cache.ID, req *http.Request) (c *conn, fresh bool, err error) {
	after := writeAfter
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		after = readAfter
	}
	for owner != nil {
		c, dialing := cs.reuse(owner, after)
		if c != nil {
			return c, false, nil
		}
		if dialing == nil {
			break
		}
		select {
		case <-dialing: // one connection will do for all
		case <-req.Context().Done():
			return nil, false, req.Context().Err()
		}
	}
	c, err = cs.dial(req.Context(), owner)
	return c, true, err
}

// reuse returns an open connection of owner's that has been silent for long
// enough, or what to wait for before asking again, or neither: then the caller
// is to dial, and others of owner wait for it if the upstream speaks HTTP/2.
func (cs *Connections) reuse(owner *cache.ID, after time.Duration) (found *conn, dialing <-chan struct{}) {
	var spoilt []*conn
	defer func() { closeAll(spoilt) }()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := time.Now()
	for i := len(cs.open[*owner]) - 1; i >= 0; i-- {
		c := cs.open[*owner][i]
		switch {
		case c.retired || c.http1 != nil && (c.active > 0 || now.Sub(c.idleSince) < after):
			continue
		case c.spent():
			cs.remove(c)
			spoilt = append(spoilt, c)
			continue
		case c.http2 != nil && c.http2.Reserve() != nil: // as many streams as the server allows
			continue
		}
		cs.busy(c)
		return c, nil
	}
	if !cs.multiplexed.Load() {
		return nil, nil
	}
	if wait := cs.dialing[*owner]; wait != nil {
		return nil, wait
	}
	cs.dialing[*owner] = make(chan struct{})
	return nil, nil
}

// busy counts a request on c. The lock must be held.
func (cs *Connections) busy(c *conn) {
	c.active++
	if c.place != nil {
		cs.idle.Remove(c.place)
		c.place = nil
	}
}

// dial opens a connection with one request on it.
func (cs *Connections) dial(ctx context.Context, owner *cache.ID) (*conn, error) {
	c, err := cs.connect(ctx)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if owner != nil {
		if waiting := cs.dialing[*owner]; waiting != nil {
			delete(cs.dialing, *owner)
			close(waiting)
		}
	}
	if err != nil {
		return nil, err
	}
	c.active = 1
	if owner != nil {
		c.owner, c.kept = *owner, true
		cs.open[c.owner] = append(cs.open[c.owner], c)
	}
	return c, nil
}

// finish ends a request on c. A clean one was answered to its end.
func (cs *Connections) finish(c *conn, clean bool) {
	var spoilt []*conn
	defer func() { closeAll(spoilt) }()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.active--
	if c.http1 != nil && !clean || c.spent() || cs.closed || !c.kept {
		c.retired = true
	}
	switch {
	case c.active > 0:
		return
	case c.retired:
		cs.remove(c)
		spoilt = append(spoilt, c)
		return
	}
	c.idleSince = time.Now()
	c.place = cs.idle.PushBack(c)
	for cs.idle.Len() > max(1, cs.cfg.MaxIdle) {
		spoilt = append(spoilt, cs.removeOldest())
	}
	if cs.reaper == nil {
		cs.reaper = time.AfterFunc(idleFor, func() { cs.cfg.Panics.Run("idle connections", cs.reap) })
	}
}

// discard ends a request on c, and c with it as soon as no other request is
// on it.
func (cs *Connections) discard(c *conn) {
	cs.mu.Lock()
	c.retired = true
	cs.mu.Unlock()
	cs.finish(c, false)
}

// reap closes what has been idle for too long.
func (cs *Connections) reap() {
	var spoilt []*conn
	defer func() { closeAll(spoilt) }()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for cs.idle.Len() > 0 {
		left := idleFor - time.Since(cs.idle.Front().Value.(*conn).idleSince)
		if left > 0 {
			cs.reaper.Reset(left)
			return
		}
		spoilt = append(spoilt, cs.removeOldest())
	}
	cs.reaper = nil
}

// removeOldest forgets the connection that has been idle longest. The lock
// must be held, and there must be one.
func (cs *Connections) removeOldest() *conn {
	c := cs.idle.Front().Value.(*conn)
	cs.remove(c)
	return c
}

// remove forgets c. The lock must be held.
func (cs *Connections) remove(c *conn) {
	if c.place != nil {
		cs.idle.Remove(c.place)
		c.place = nil
	}
	left := slices.DeleteFunc(cs.open[c.owner], func(other *conn) bool { return other == c })
	if cs.open[c.owner] = left; len(left) == 0 {
		delete(cs.open, c.owner)
	}
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

// Close closes the connections that no request is on, and each of the others
// with its last request. No connection is kept from then on.
func (cs *Connections) Close() {
	var spoilt []*conn
	defer func() { closeAll(spoilt) }()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for cs.idle.Len() > 0 {
		spoilt = append(spoilt, cs.removeOldest())
	}
	if cs.reaper != nil {
		cs.reaper.Stop()
		cs.reaper = nil
	}
}

// Open returns how many connections are open or idle.
func (cs *Connections) Open() (open, idle int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, conns := range cs.open {
		open += len(conns)
	}
	return open, cs.idle.Len()
}
