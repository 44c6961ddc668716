package wire

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// shortage is a listener that fails with a shortage a few times between
// connections.
type shortage struct {
	net.Listener
	failures atomic.Int64
	err      error
}

func (l *shortage) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.Listener.Accept()
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

type addressed struct {
	net.Conn
	remote net.Addr
}

func (c *addressed) RemoteAddr() net.Addr { return c.remote }

func newGuard(t *testing.T, ln net.Listener, total, perIP int) *Listener {
	t.Helper()
	g := Guard(ln, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	g.Limit(total, perIP)
	return g
}

func TestAcceptOutlivesShortage(t *testing.T) {
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		synctest.Test(t, func(t *testing.T) {
			inner := &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
			short := &shortage{Listener: inner, err: errno}
			short.failures.Store(20)
			g := newGuard(t, short, 10, 10)
			server, client := net.Pipe()
			defer client.Close()
			inner.conns <- server
			start := time.Now()
			c, err := g.Accept()
			if err != nil {
				t.Fatalf("%v: %v", errno, err)
			}
			c.Close()
			// 5, 10, ... 640 ms, then twelve times 1 s.
			if took := time.Since(start); took < 12*time.Second || took > 15*time.Second {
				t.Errorf("%v: accepted after %v", errno, took)
			}
			short.failures.Store(1 << 30)
			go func() {
				time.Sleep(time.Minute)
				g.Close()
			}()
			if _, err := g.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: got %v", err)
			}
		})
	}
	inner := &pipeListener{done: make(chan struct{})}
	short := &shortage{Listener: inner, err: syscall.EINVAL}
	short.failures.Store(1)
	if _, err := newGuard(t, short, 1, 1).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a broken listener: got %v", err)
	}
}

func TestConnectionLimits(t *testing.T) {
	tcp := func(ip string) net.Addr {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))
	}
	for _, c := range []struct {
		name         string
		total, perIP int
		from         []string
		admitted     int
	}{
		{"total", 3, 10, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}, 3},
		{"per address", 10, 2, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"}, 3},
		{"mapped addresses are the same", 10, 2, []string{"10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"}, 2},
		{"per /64", 10, 2, []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"}, 3},
		{"zones do not matter", 10, 1, []string{"fe80::1%a", "fe80::1%b"}, 1},
	} {
		inner := &pipeListener{conns: make(chan net.Conn, len(c.from)), done: make(chan struct{})}
		g := newGuard(t, inner, c.total, c.perIP)
		var clients []net.Conn
		for _, ip := range c.from {
			server, client := net.Pipe()
			clients = append(clients, client)
			inner.conns <- &addressed{server, tcp(ip)}
		}
		var open []net.Conn
		for range c.admitted {
			conn, err := g.Accept()
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
		}
		if len(open) < len(c.from) { // what is left is closed without a word
			go g.Accept()
			refused := 0
			for _, client := range clients {
				if client.SetReadDeadline(time.Now().Add(50*time.Millisecond)) != nil { // closed already
					refused++
				} else if n, err := client.Read(make([]byte, 1)); n == 0 && err == io.EOF {
					refused++
				}
			}
			if refused != len(c.from)-c.admitted {
				t.Errorf("%s: %d refused, want %d", c.name, refused, len(c.from)-c.admitted)
			}
		}
		for _, conn := range open {
			conn.Close()
			conn.Close() // counts once
		}
		g.Close()
		g.mu.Lock()
		if g.total.Load() != 0 || len(g.perIP) != 0 {
			t.Errorf("%s: %d connections counted after all were closed, %v", c.name, g.total.Load(), g.perIP)
		}
		g.mu.Unlock()
		for _, client := range clients {
			client.Close()
		}
	}
}
