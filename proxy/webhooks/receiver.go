package webhooks

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/proxy/address"
	"pollux/proxy/egress"
)

// maxTarget is the longest URL of a webhook, in bytes.
const maxURL = 2048

// What is wrong with a receiver's address. The texts go to whoever registers it.
var (
	ErrURL     = errors.New("url wants an absolute https URL without user and fragment, its host a name or a plain address")
	ErrPlain   = errors.New("url may be http only inside webhooks.allow_networks")
	ErrAddress = errors.New("url leads to an address that is not public; webhooks.allow_networks lists those that may be used")
)

// addresses decides where webhooks may go. It is immutable.
type addresses struct {
	allow    []netip.Prefix
	resolver *net.Resolver // nil: the system's
}

// newAddresses allows the public internet, and the given networks.
func newAddresses(allow []netip.Prefix, resolver *net.Resolver) *addresses {
	t := &addresses{resolver: resolver}
	for _, p := range allow {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		t.allow = append(t.allow, p)
	}
	return t
}

// check decides on one address; plain says that the connection would be http.
func (t *addresses) check(a netip.Addr, plain bool) error {
	a = a.Unmap()
	switch {
	case slices.ContainsFunc(t.allow, func(p netip.Prefix) bool { return p.Contains(a) }):
		return nil
	case !address.Public(a):
		return ErrAddress
	case plain:
		return ErrPlain
	}
	return nil
}

// register reads the URL of a new webhook and looks where it leads now. A name
// that cannot be resolved yet is let through: every connection is checked again
// when it is made, which is what counts.
func (t *addresses) register(ctx context.Context, raw string) (*url.URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	plain := u.Scheme == "http"
	if plain && len(t.allow) == 0 {
		return nil, ErrPlain
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return u, t.check(a, plain)
	}
	for _, a := range t.lookUp(ctx, u.Hostname()) {
		if err := t.check(a, plain); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// lookUpTime is how long a registration waits for a name.
const lookUpTime = 500 * time.Millisecond

// lookUp returns the addresses of a name, none if they are not known soon: a name
// server that does not answer must not hold up registrations.
func (t *addresses) lookUp(ctx context.Context, name string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	found, err := cmp.Or(t.resolver, net.DefaultResolver).LookupNetIP(ctx, "ip", name)
	switch {
	case err == nil:
		return found
	case isLocalhost(name):
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

// isLocalhost reports whether a name leads to this machine whether or not a name
// server knows it (RFC 6761, section 6.3).
func isLocalhost(name string) bool {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	return strings.EqualFold(labels[len(labels)-1], "localhost")
}

// parseURL accepts one spelling only of what a URL may say: whatever another
// parser could read as another host is refused, not understood.
func parseURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' || r == '#' }) {
		return nil, ErrURL
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Opaque != "", u.User != nil:
		return nil, ErrURL
	case !strings.HasPrefix(strings.ToLower(raw), u.Scheme+"://"+strings.ToLower(u.Host)):
		return nil, ErrURL // the host was escaped
	case !validHost(u), !validPort(u):
		return nil, ErrURL
	}
	return u, nil
}

func validPort(u *url.URL) bool {
	if !strings.HasSuffix(u.Host, ":"+u.Port()) && u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == u.Port()
}

// validHost accepts an address in its usual form, or a name (RFC 1123, section
// 2.1, and underscores) whose last label is no number: some resolvers take
// 2130706433, 0x7f.1 and 127.1 for addresses (WHATWG URL, section 3.5).
func validHost(u *url.URL) bool {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Is4()
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(host) > 253 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

func notInLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// transport returns what sends to targets, plain or over TLS, through proxy if
// that is not nil. The address is checked when the connection is made, after
// every lookup, so that a name cannot change its mind in between. Nothing of the
// environment, such as a proxy, comes between.
func (t *addresses) transport(plain bool, proxy *egress.Proxy) *http.Transport {
	return &http.Transport{
		DialContext:            proxy.DialChecked(t.resolver, connectTime, func(a netip.Addr) error { return t.check(a, plain) }),
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// connectTime is how long a connection to a receiver may take, all its addresses
// and a proxy included.
const connectTime = 10 * time.Second
