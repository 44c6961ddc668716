package pgtest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Link is a way to a server that can be made slow, and be cut as a network is:
// nothing arrives, and nobody is told.
type Link struct {
	server   *Server
	listener net.Listener
	delay    atomic.Int64 // of what the server says
	rate     atomic.Int64 // bytes per second, both ways of each connection; 0: any
	relaying sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]struct{}
	cut   chan struct{} // closed once the link is whole again; nil: it is
}

// Link opens a way to the server, until the test ends.
func (s *Server) Link(t testing.TB) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{server: s, listener: listener, conns: map[net.Conn]struct{}{}}
	l.relaying.Go(l.accept)
	t.Cleanup(func() {
		l.Cut(false)
		listener.Close()
		l.mu.Lock()
		for c := range l.conns {
			c.Close()
		}
		l.mu.Unlock()
		l.relaying.Wait()
	})
	return l
}

// Address is where a database of the server is by this way.
func (l *Link) Address(database string) string {
	port := l.listener.Addr().(*net.TCPAddr).Port
	return strings.Replace(l.server.Address(database), fmt.Sprintf(":%d/", l.server.Port), fmt.Sprintf(":%d/", port), 1)
}

// Slow has everything that the server says arrive so much later.
func (l *Link) Slow(by time.Duration) { l.delay.Store(int64(by)) }

// Narrow lets so many bytes per second through each way of a connection, 0 for any.
func (l *Link) Narrow(rate int) { l.rate.Store(int64(rate)) }

// Cut has nothing arrive in either direction, until it is whole again; then
// what was sent meanwhile does.
func (l *Link) Cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case cut && l.cut == nil:
		l.cut = make(chan struct{})
	case !cut && l.cut != nil:
		close(l.cut)
		l.cut = nil
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", l.server.Port))
		if err != nil {
			client.Close()
			continue
		}
		l.mu.Lock()
		l.conns[client], l.conns[server] = struct{}{}, struct{}{}
		l.mu.Unlock()
		l.relaying.Go(func() { l.relay(server, client, func() time.Duration { return 0 }) })
		l.relaying.Go(func() { l.relay(client, server, func() time.Duration { return time.Duration(l.delay.Load()) }) })
	}
}

// sent is something on its way.
type sent struct {
	data []byte
	due  time.Time
}

// relay carries what from says to to, and closes both at its end.
func (l *Link) relay(to, from net.Conn, delay func() time.Duration) {
	way := make(chan sent, 1024)
	l.relaying.Go(func() {
		for s := range way {
			time.Sleep(time.Until(s.due))
			if rate := l.rate.Load(); rate > 0 {
				time.Sleep(time.Duration(len(s.data)) * time.Second / time.Duration(rate))
			}
			l.mu.Lock()
			whole := l.cut
			l.mu.Unlock()
			if whole != nil {
				<-whole
			}
			if _, err := to.Write(s.data); err != nil {
				from.Close()
			}
		}
		to.Close()
		l.mu.Lock()
		delete(l.conns, to)
		l.mu.Unlock()
	})
	defer close(way)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			way <- sent{append([]byte(nil), buffer[:n]...), time.Now().Add(delay())}
		}
		if err != nil {
			return
		}
	}
}
