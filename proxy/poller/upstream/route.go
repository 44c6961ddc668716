package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"pollux/proxy/address"
	"pollux/proxy/egress"
	"pollux/proxy/poller/transport"
)

// route is how requests leave for an upstream, and for what it refers to.
type route struct {
	proxy   egress.URL     // "" leaves it to the environment
	roots   *x509.CertPool // of the upstream itself; nil: the system's
	trusted *x509.CertPool // of whatever else is asked for it; nil: the system's
}

func newRoute(c *Config) (r route, err error) {
	r.proxy = c.Proxy
	if c.CAFile == "" {
		return r, nil
	}
	pem, err := readCAFile(c.CAFile)
	if err != nil {
		return r, err
	}
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(pem)
	if r.trusted, err = x509.SystemCertPool(); err != nil {
		r.trusted = x509.NewCertPool()
	}
	r.trusted.AppendCertsFromPEM(pem)
	return r, nil
}

// maxCAFile bounds a file of certificates: that of all public authorities takes
// a quarter of it.
const maxCAFile = 1 << 20

// readCAFile reads a file with at least one certificate.
func readCAFile(path string) ([]byte, error) {
	pem, err := readRegular(path, maxCAFile)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no certificate that can be read (PEM)")
	}
	return pem, nil
}

// readRegular reads a regular file that is no larger than most. Its errors hold
// neither its path nor what it holds.
func readRegular(path string, most int64) (content []byte, err error) {
	info, err := os.Stat(path) // before opening: opening a FIFO would wait for a writer
	if err == nil {
		if !info.Mode().IsRegular() || info.Size() > most {
			return nil, fmt.Errorf("want a regular file of at most %d bytes", most)
		}
		content, err = os.ReadFile(path)
	}
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("cannot be read: %w", e.Err)
	}
	return content, err
}

// proxyTo is what stands between here and a URL, nil if nothing does.
func (r route) proxyTo(at *url.URL) (*egress.Proxy, error) {
	if r.proxy != "" {
		return egress.New(r.proxy, r.trusted)
	}
	return egress.FromEnvironment(at, r.trusted)
}

// connections are those to a host that is asked for the upstream, or to itself.
func (r route) connections(cfg transport.Config, roots *x509.CertPool) (*transport.Connections, error) {
	var err error
	if cfg.Proxy, err = r.proxyTo(cfg.Base); err != nil {
		return nil, err
	}
	cfg.Roots = roots
	return transport.New(cfg), nil
}

// elsewhere is how results are fetched that are not at the upstream itself:
// without its credential, from public addresses only, on a connection that
// serves nothing else.
type elsewhere struct{ route }

// RoundTrip implements http.RoundTripper.
func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := e.proxyTo(req.URL)
	if err != nil {
		return nil, err
	}
	return (&http.Transport{
		DialContext: proxy.DialChecked(nil, 10*time.Second, public), TLSClientConfig: &tls.Config{RootCAs: e.trusted},
		ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}).RoundTrip(req)
}

func public(a netip.Addr) error {
	if !address.Public(a) {
		return errPrivate
	}
	return nil
}

var errPrivate = &FetchError{Reason: "its address is not public"}
