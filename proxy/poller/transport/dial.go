package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"pollux/proxy/egress"
)

// connect opens a connection and learns whether it speaks HTTP/2.
func (cs *Connections) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cs.cfg.DialTimeout)
	defer cancel()
	c, err := cs.reach(ctx)
	if err != nil {
		return nil, err
	}
	if cs.cfg.Base.Scheme == "https" {
		secure := tls.Client(c, cs.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			return cs.multiplex(ctx, secure)
		}
		c = secure
	}
	cs.multiplexed.Store(false)
	var proxy *egress.Proxy
	if cs.throughProxy() {
		proxy = cs.cfg.Proxy
	}
	return &conn{http1: newHTTP1(&guard{Conn: c, unasked: cs.cfg.Unasked}, proxy)}, nil
}

// throughProxy reports whether requests are sent to a proxy as they are, and not
// through a tunnel that it opens: the upstream is spoken to in clear.
func (cs *Connections) throughProxy() bool {
	return cs.cfg.Proxy != nil && cs.cfg.Base.Scheme == "http"
}

// reach opens a connection on which the upstream speaks, or the proxy for it.
func (cs *Connections) reach(ctx context.Context) (net.Conn, error) {
	switch {
	case cs.cfg.Proxy == nil:
		return (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(ctx, "tcp", cs.address)
	case cs.throughProxy():
		return cs.cfg.Proxy.Dial(ctx)
	}
	return cs.cfg.Proxy.Connect(ctx, cs.address)
}

// securedKey is where a context has the connection that HTTP/2 is to be spoken
// on: net/http dials by itself.
type securedKey struct{}

func (cs *Connections) multiplex(ctx context.Context, c *tls.Conn) (*conn, error) {
	client, err := cs.transport.NewClientConn(context.WithValue(ctx, securedKey{}, c), "https", cs.address)
	if err != nil {
		c.Close()
		return nil, err
	}
	cs.multiplexed.Store(true)
	return &conn{http2: client}, nil
}

// newTransport is net/http's, which speaks HTTP/2 on connections that stand.
func newTransport(cfg *Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Transport{
		Protocols:              protocols,
		ResponseHeaderTimeout:  cfg.Patience,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true, // decoded by who reads it, under a limit
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(securedKey{}).(*tls.Conn), nil
		},
	}
}

func newTLS(cfg *Config) *tls.Config {
	return &tls.Config{
		ServerName: cfg.Base.Hostname(), RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(0), // makes most handshakes of the many short connections cheap
	}
}
