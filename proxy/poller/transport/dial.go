package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// guardKey is where connect's context has the place for the guard that dialing
// makes: net/http does not say which net.Conn a client connection is on.
type guardKey struct{}

// connect opens a connection and learns whether it speaks HTTP/2.
func (cs *Connections) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cs.cfg.DialTimeout)
	defer cancel()
	c := &conn{}
	client, err := cs.transport.NewClientConn(context.WithValue(ctx, guardKey{}, &c.guard), cs.cfg.Base.Scheme, cs.address)
	if err != nil {
		return nil, err
	}
	c.client = client
	cs.multiplexed.Store(c.guard == nil)
	return c, nil
}

// throughProxy reports whether requests are sent to a proxy as they are, and not
// through a tunnel that it opens: the upstream is spoken to in clear.
func (cs *Connections) throughProxy() bool {
	return cs.cfg.Proxy != nil && cs.cfg.Base.Scheme == "http"
}

// reach opens a connection on which the upstream speaks, or the proxy for it.
func (cs *Connections) reach(ctx context.Context, network, address string) (net.Conn, error) {
	switch {
	case cs.cfg.Proxy == nil:
		return (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(ctx, network, address)
	case cs.throughProxy():
		return cs.cfg.Proxy.Dial(ctx)
	}
	return cs.cfg.Proxy.Connect(ctx, address)
}

func (cs *Connections) newTransport() *http.Transport {
	sessions := tls.NewLRUClientSessionCache(0) // makes most handshakes of the many short connections cheap
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	guarded := func(ctx context.Context, c net.Conn) net.Conn {
		g := &guard{Conn: c, unasked: cs.cfg.Unasked}
		*ctx.Value(guardKey{}).(**guard) = g
		return g
	}
	t := &http.Transport{
		Protocols:              protocols,
		ResponseHeaderTimeout:  cs.cfg.Patience,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true, // decoded by who reads it, under a limit
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := cs.reach(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return guarded(ctx, c), nil
	}
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := cs.reach(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := tls.Client(plain, &tls.Config{
			ServerName: cs.cfg.Base.Hostname(), RootCAs: cs.cfg.Roots, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: sessions,
		})
		if err := c.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, err
		}
		if c.ConnectionState().NegotiatedProtocol == "h2" {
			return c, nil
		}
		return guarded(ctx, c), nil
	}
	if cs.throughProxy() {
		t.Proxy = http.ProxyURL(cs.cfg.Proxy.URL())
		t.DialTLSContext = t.DialContext // to a proxy that speaks TLS itself
	}
	return t
}
