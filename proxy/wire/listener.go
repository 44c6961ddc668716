package wire

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/edge"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second

	keepAlivePeriod = 30 * time.Second
)

// Listener outlives a shortage of descriptors or memory, and bounds how
// many connections are open, in total and per address. Surplus connections are
// closed without a word: writing to them could block the accept loop.
type Listener struct {
	net.Listener
	maxTotal, maxPerIP atomic.Int64
	door               atomic.Pointer[Door]
	metrics            *Metrics
	log                *slog.Logger
	closed             chan struct{}
	closing            sync.Once

	total atomic.Int64 // of open connections; changes under mu
	crowd int64        // see [crowd]

	mu    sync.Mutex // guards what follows
	perIP map[netip.Prefix]int64
}

// Door is what a connection goes through before HTTP. It is immutable.
type Door struct {
	TLS     *edge.TLS    // nil: plain
	Trusted edge.Trusted // proxies that are believed about their clients
}

// announceTimeout is how long a trusted proxy has to say whose connection it is.
const announceTimeout = 5 * time.Second

func Guard(ln net.Listener, m *Metrics, log *slog.Logger) *Listener {
	l := &Listener{Listener: ln, metrics: m, log: log, closed: make(chan struct{}), crowd: int64(crowd * runtime.GOMAXPROCS(0)), perIP: map[netip.Prefix]int64{}}
	l.door.Store(&Door{})
	return l
}

// Use makes connections to come go through d.
func (l *Listener) Use(d *Door) { l.door.Store(d) }

func (l *Listener) Limit(total, perIP int) {
	l.maxTotal.Store(int64(total))
	l.maxPerIP.Store(int64(perIP))
}

// Accept returns the next connection within the limits. It fails only when the
// listener is closed or broken for good.
func (l *Listener) Accept() (net.Conn, error) {
	pause := acceptPauseMin
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !passing(err) {
				return nil, err
			}
			if pause == acceptPauseMin {
				l.log.Warn("accepting connections pauses", "err", errnoOf(err))
			}
			l.metrics.acceptErrors.Inc()
			if !l.sleep(pause) {
				return nil, net.ErrClosed
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPauseMin
		door := l.door.Load()
		from := PrefixOf(c.RemoteAddr())
		behind := from.IsValid() && door.Trusted.Has(from.Addr())
		if behind {
			from = netip.Prefix{} // it stands for many clients
		}
		if l.admit(from) {
			keepAlive(c)
			return l.enter(c, door, from, behind), nil
		}
		l.metrics.refused.Inc()
		c.Close()
	}
}

// Close stops Accept, also while it pauses.
func (l *Listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *Listener) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// passing reports whether accept may work again later. ECONNABORTED is one
// client that left too early; the others are shortages.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func errnoOf(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return "unknown"
}

// enter takes an admitted connection through the door. Nothing is read yet:
// accepting waits for nobody.
func (l *Listener) enter(c net.Conn, door *Door, from netip.Prefix, behind bool) *Conn {
	conn := &Conn{Conn: &patient{Conn: c}, listener: l, from: from}
	if behind {
		announced := edge.Announce(conn.Conn, announceTimeout)
		conn.Conn, conn.announced = announced, &announced
	}
	if door.TLS != nil {
		conn.Conn = door.TLS.Server(conn.Conn)
	}
	return conn
}

// identify counts c for the client that a proxy named, and reports whether that
// one may have another connection.
func (l *Listener) identify(c *Conn, client net.Addr) bool {
	from := PrefixOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !from.IsValid() || c.from.IsValid() {
		return true
	}
	if l.perIP[from] >= l.maxPerIP.Load() {
		l.metrics.refused.Inc()
		return false
	}
	c.from = from
	l.perIP[from]++
	return true
}

// admit counts a connection of from, one that is not valid only in total.
func (l *Listener) admit(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total.Load() >= l.maxTotal.Load() || from.IsValid() && l.perIP[from] >= l.maxPerIP.Load() {
		return false
	}
	total := l.total.Add(1)
	if from.IsValid() {
		l.perIP[from]++
	}
	l.metrics.connections.Set(float64(total))
	return true
}

func (l *Listener) release(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := l.total.Add(-1)
	if l.perIP[c.from]--; l.perIP[c.from] <= 0 {
		delete(l.perIP, c.from)
	}
	l.metrics.connections.Set(float64(total))
}

// PrefixOf is what counts as one client: an IPv4 address, or the /64 that an
// IPv6 client can draw addresses from at will. Invalid for other networks.
func PrefixOf(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return prefixOfAddr(tcp.AddrPort().Addr())
}

// ClientOf is what counts as the client of a request: whoever a trusted proxy
// says sent it, else whoever is connected.
func ClientOf(ctx *fasthttp.RequestCtx, trusted edge.Trusted) netip.Prefix {
	tcp, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return prefixOfAddr(trusted.Client(tcp.AddrPort().Addr(), ctx.Request.Header.PeekAll("X-Forwarded-For")))
}

func prefixOfAddr(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

func keepAlive(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlivePeriod, Interval: keepAlivePeriod / 2})
	}
}
