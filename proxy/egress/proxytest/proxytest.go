// Package proxytest is an HTTP proxy for tests: it opens tunnels and passes plain
// requests on, as Squid does.
package proxytest

import (
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Config is what a proxy does. Zero lets everything through that asks in clear.
type Config struct {
	User, Password string            // required, unless User is empty
	TLS            bool              // it is spoken to over TLS
	Names          map[string]string // host and port that lead elsewhere than they say
	Refuse         int               // this is the answer to everything
}

// Proxy is a proxy on loopback.
type Proxy struct {
	URL   string // without user and password
	Roots *x509.CertPool

	cfg     Config
	mu      sync.Mutex // guards what follows
	asked   []string
	tunnels []net.Conn
}

// Start starts a proxy that ends with t.
func Start(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	p := &Proxy{cfg: cfg}
	s := httptest.NewUnstartedServer(p)
	if cfg.TLS {
		s.StartTLS()
		p.Roots = x509.NewCertPool()
		p.Roots.AddCert(s.Certificate())
	} else {
		s.Start()
	}
	p.URL = s.URL
	t.Cleanup(func() {
		p.mu.Lock()
		for _, c := range p.tunnels {
			c.Close()
		}
		p.mu.Unlock()
		s.Close()
	})
	return p
}

// With is p's URL with its user and password.
func (p *Proxy) With(user, password string) string {
	scheme, rest, _ := strings.Cut(p.URL, "://")
	return scheme + "://" + url.UserPassword(user, password).String() + "@" + rest
}

// Asked is what p was asked for: methods and targets.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := ""
	if p.cfg.User != "" {
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.cfg.User+":"+p.cfg.Password))
	}
	switch {
	case r.Header.Get("Proxy-Authorization") != want:
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxytest"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case p.cfg.Refuse != 0:
		w.WriteHeader(p.cfg.Refuse)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	p.mu.Unlock()
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	p.pass(w, r)
}

func (p *Proxy) elsewhere(address string) string {
	if to, ok := p.cfg.Names[address]; ok {
		return to
	}
	return address
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", p.elsewhere(r.Host))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		there.Close()
		return
	}
	p.mu.Lock()
	p.tunnels = append(p.tunnels, here, there)
	p.mu.Unlock()
	io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { io.Copy(there, here); there.Close() })
	both.Go(func() { io.Copy(here, there); here.Close() })
	both.Wait()
}

func (p *Proxy) pass(w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.Header.Del("Proxy-Authorization")
	host := r.URL.Host
	if r.URL.Port() == "" {
		host = net.JoinHostPort(host, "80")
	}
	out.URL.Host = p.elsewhere(host)
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := transport.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	io.Copy(w, res.Body)
}
