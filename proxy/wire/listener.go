package wire

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	metrics            *Metrics
	log                *slog.Logger
	closed             chan struct{}
	closing            sync.Once

	mu    sync.Mutex // guards what follows
	total int64
	perIP map[netip.Prefix]int64
}

func Guard(ln net.Listener, m *Metrics, log *slog.Logger) *Listener {
	return &Listener{Listener: ln, metrics: m, log: log, closed: make(chan struct{}), perIP: map[netip.Prefix]int64{}}
}

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
		if from, ok := l.admit(c.RemoteAddr()); ok {
			keepAlive(c)
			return &Conn{Conn: patient{c}, listener: l, from: from}, nil
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
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "unknown"
}

func (l *Listener) admit(remote net.Addr) (netip.Prefix, bool) {
	from := PrefixOf(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.maxTotal.Load() || from.IsValid() && l.perIP[from] >= l.maxPerIP.Load() {
		return from, false
	}
	l.total++
	if from.IsValid() {
		l.perIP[from]++
	}
	l.metrics.connections.Set(float64(l.total))
	return from, true
}

func (l *Listener) release(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.perIP[from]--; l.perIP[from] <= 0 {
		delete(l.perIP, from)
	}
	l.metrics.connections.Set(float64(l.total))
}

// PrefixOf is what counts as one client: an IPv4 address, or the /64 that an
// IPv6 client can draw addresses from at will. Invalid for other networks.
func PrefixOf(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
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
