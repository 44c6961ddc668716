package edge

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
)

// Trusted are the networks of proxies that are believed about their clients:
// by the PROXY protocol, or by X-Forwarded-For.
type Trusted []netip.Prefix

// ParseTrusted reads networks such as 10.0.0.0/8 and single addresses.
func ParseTrusted(network string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(network); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("want a network such as 10.0.0.0/8")
	}
	return prefix.Masked(), nil
}

// Has reports whether addr belongs to a trusted proxy.
func (t Trusted) Has(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Client is who sent a request that came from remote with these X-Forwarded-For
// fields. A proxy appends the address that it saw, so they are read from the
// right for as long as trusted proxies wrote them: what stands further left, any
// client may have made up.
func (t Trusted) Client(remote netip.Addr, forwardedFor [][]byte) netip.Addr {
	client := remote.Unmap()
	for _, field := range slices.Backward(forwardedFor) {
		for part := range partsBackward(field) {
			if !t.Has(client) {
				return client
			}
			before, err := parseForwarded(part)
			if err != nil {
				return client
			}
			client = before
		}
	}
	return client
}

// partsBackward yields the comma-separated parts of field from the right.
func partsBackward(field []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for {
			comma := bytes.LastIndexByte(field, ',')
			if !yield(bytes.TrimSpace(field[comma+1:])) || comma < 0 {
				return
			}
			field = field[:comma]
		}
	}
}

// parseForwarded reads an address, with or without a port.
func parseForwarded(part []byte) (netip.Addr, error) {
	text := string(part)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap(), nil
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err
}

// Announced is a connection of a trusted proxy, which may begin with a header
// that says whose it is (the PROXY protocol, versions 1 and 2).
type Announced struct{ *proxyproto.Conn }

// Announce is c, which a trusted proxy opened. Without such a header it stays
// the proxy's own; one has to arrive within timeout.
func Announce(c net.Conn, timeout time.Duration) Announced {
	return Announced{proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(timeout))}
}

// Client is whose connection it is, as far as the proxy says. It waits until
// the header is there.
func (a Announced) Client() net.Addr {
	if header := a.ProxyHeader(); header != nil && !header.Command.IsLocal() {
		return header.SourceAddr
	}
	return nil
}

// NetConn is the connection below.
func (a Announced) NetConn() net.Conn { return a.Raw() }
