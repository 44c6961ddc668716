// Package egress is how connections leave for elsewhere where an HTTP proxy
// stands between.
package egress

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// URL is where a proxy is, as in http://user:password@proxy.example:3128. It
// may hold a password, so it never prints.
type URL string

const redacted = "[redacted]"

// Format, LogValue and MarshalText hide the URL from package fmt, from logs and
// from encoders.
func (u URL) Format(s fmt.State, _ rune)   { io.WriteString(s, redacted) }
func (u URL) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (u URL) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secrets are the parts of u that nobody may see, none if it has no password.
func (u URL) Secrets() []string {
	at, err := url.Parse(string(u))
	if err != nil || at.User == nil {
		return nil
	}
	password, _ := at.User.Password()
	if password == "" {
		return nil
	}
	return []string{string(u), password, at.User.String(), basic(at.User)}
}

// ErrURL is what is wrong with a URL that leads to no proxy.
var ErrURL = errors.New("want the URL of an HTTP proxy, as in http://proxy.example:3128, with user:password@ if it asks for them")

// Proxy is an HTTP proxy. It is immutable; nil stands for none.
type Proxy struct {
	address string
	header  http.Header // of a CONNECT
	tls     *tls.Config // nil: it is spoken to in clear
}

// New reads where a proxy is. roots are believed for the proxy itself, should it
// speak TLS; nil means the system's. The error is ErrURL.
func New(u URL, roots *x509.CertPool) (*Proxy, error) {
	at, err := url.Parse(string(u))
	if err != nil || at.Hostname() == "" || at.Opaque != "" || at.Path != "" && at.Path != "/" || at.RawQuery != "" || at.Fragment != "" {
		return nil, ErrURL
	}
	p := &Proxy{header: http.Header{"User-Agent": {"Pollux"}}}
	port := cmp.Or(at.Port(), "80")
	switch at.Scheme {
	case "http":
	case "https":
		port = cmp.Or(at.Port(), "443")
		p.tls = &tls.Config{ServerName: at.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}
	default:
		return nil, ErrURL
	}
	p.address = net.JoinHostPort(at.Hostname(), port)
	if at.User != nil {
		p.header.Set("Proxy-Authorization", "Basic "+basic(at.User))
	}
	return p, nil
}

func basic(u *url.Userinfo) string {
	password, _ := u.Password()
	return base64.StdEncoding.EncodeToString([]byte(u.Username() + ":" + password))
}

// FromEnvironment is the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for
// requests to base, nil if none; loopback never has one. They are read once in
// the life of a process.
func FromEnvironment(base *url.URL, roots *x509.CertPool) (*Proxy, error) {
	at, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	switch {
	case err != nil: // it quotes the variable
		return nil, ErrURL
	case at == nil:
		return nil, nil
	}
	return New(URL(at.String()), roots)
}

// Write writes req in the form for a proxy that is to pass it on (RFC 9112,
// section 3.2.2), which asks for the user and password that it has.
func (p *Proxy) Write(w io.Writer, req *http.Request) error {
	if credentials := p.header["Proxy-Authorization"]; credentials != nil {
		told := *req
		told.Header = http.Header{}
		maps.Copy(told.Header, req.Header)
		told.Header["Proxy-Authorization"] = credentials
		req = &told
	}
	return req.WriteProxy(w)
}

// Address is the proxy's host and port.
func (p *Proxy) Address() string { return p.address }

// Dial connects to the proxy itself. The error is an *Error.
func (p *Proxy) Dial(ctx context.Context) (net.Conn, error) {
	c, err := (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, &Error{cause: err}
	}
	if p.tls == nil {
		return c, nil
	}
	secure := tls.Client(c, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, &Error{cause: err}
	}
	return secure, nil
}

// maxAnswer is how long the proxy's answer to a CONNECT may be, in bytes.
const maxAnswer = 64 << 10

// Connect has the proxy connect to address, host and port, and returns that
// connection. The proxy resolves the host where it is a name. The error is an
// *Error, that of ctx within.
func (p *Proxy) Connect(ctx context.Context, address string) (net.Conn, error) {
	c, err := p.Dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	err = p.open(c, address)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		if refusal, ok := errors.AsType[*Error](err); ok {
			return nil, refusal
		}
		return nil, &Error{cause: err}
	}
	return c, nil
}

// DialChecked returns what connects, within timeout, to addresses that pass check
// and to no others: it is asked when the connection is made, after every lookup, so
// that a name cannot change its mind in between. Names are looked up by names, nil
// being as the system does; nil for p is without a proxy.
func (p *Proxy) DialChecked(names *net.Resolver, timeout time.Duration, check func(netip.Addr) error) func(ctx context.Context, network, address string) (net.Conn, error) {
	if p != nil {
		return func(ctx context.Context, _, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return p.connectChecked(ctx, names, address, check)
		}
	}
	control := func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return check(at.Addr().Unmap())
	}
	return (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Resolver: names, Control: control}).DialContext
}

// connectChecked has the proxy connect to one of the addresses of a host that
// pass check, and to no other: it is told the address and never a name, which it
// would look up for itself, and could be led elsewhere. Nil resolves as the system
// does. The error is check's, the resolver's, or as of Connect.
func (p *Proxy) connectChecked(ctx context.Context, names *net.Resolver, address string, check func(netip.Addr) error) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		found = append(found, a)
	} else if found, err = cmp.Or(names, net.DefaultResolver).LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	err = errors.New("the name has no address")
	for _, a := range found {
		if err = check(a.Unmap()); err != nil {
			continue
		}
		c, failed := p.Connect(ctx, net.JoinHostPort(a.Unmap().String(), port))
		if failed == nil {
			return c, nil
		}
		err = failed
	}
	return nil, err
}

// open sends the CONNECT for address (RFC 9110, section 9.3.6).
func (p *Proxy) open(c net.Conn, address string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: p.header}
	if err := req.Write(c); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(c, maxAnswer))
	res, err := http.ReadResponse(r, req)
	switch {
	case err != nil:
		return err
	case res.StatusCode/100 != 2:
		return &Error{Code: res.StatusCode}
	case r.Buffered() > 0: // whatever is connected to speaks second
		return errors.New("bytes came before anything was asked")
	}
	return nil
}

// Error is why there is no connection through a proxy. Its text is ours: neither
// what the proxy says nor an address is in it.
type Error struct {
	Code  int // of the proxy's refusal; 0: it was not reached, or gave no answer
	cause error
}

func (e *Error) Error() string {
	switch {
	case e.Code == http.StatusProxyAuthRequired:
		return "the proxy wants another user and password (407)"
	case e.Code != 0:
		return fmt.Sprintf("the proxy refuses to connect (%d)", e.Code)
	case strings.Contains(e.cause.Error(), "x509:"):
		return "the proxy's certificate is not trusted"
	}
	return "the proxy cannot be reached"
}

func (e *Error) Unwrap() error { return e.cause }
