package upstream

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

func (cs *Connections) newTransport() *http.Transport {
	sessions := tls.NewLRUClientSessionCache(0) // makes most handshakes of the many short connections cheap
	dialer := &net.Dialer{KeepAlive: 30 * time.Second}
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
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return guarded(ctx, c), nil
	}
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dialer.DialContext(ctx, network, address)
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
	return t
}
