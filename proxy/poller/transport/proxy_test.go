package transport

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pollux/proxy/egress"
	"pollux/proxy/egress/proxytest"
)

// through makes b's connections lead to the same server under another name,
// that only a proxy knows, and returns that proxy.
func (b *bench) through(cfg proxytest.Config, roots *x509.CertPool) *proxytest.Proxy {
	b.t.Helper()
	scheme, address, _ := strings.Cut(b.base, "://")
	name := map[string]string{"http": "upstream.example:80", "https": "example.com:443"}[scheme] // the name in httptest's certificate
	cfg.Names = map[string]string{name: address}
	proxy := proxytest.Start(b.t, cfg)
	at := proxy.URL
	if cfg.User != "" {
		at = proxy.With(cfg.User, cfg.Password)
	}
	p, err := egress.New(egress.URL(at), proxy.Roots)
	must(b.t, err)
	b.to(scheme+"://"+strings.TrimSuffix(strings.TrimSuffix(name, ":80"), ":443"), Config{MaxIdle: 100, Roots: roots, Proxy: p})
	return proxy
}

// TestThroughProxy: in clear a proxy sees requests, otherwise only where they go.
// Everything else is as without one: partitions share no connection, one that has
// been silent is used again.
func TestThroughProxy(t *testing.T) {
	for name := range protocols {
		for _, secure := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " TLS to the proxy"}[secure], func(t *testing.T) {
				b := serve(t, name, 100, func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, r.Header.Get("Proxy-Authorization")+r.Host+r.URL.Path) // the first is for the proxy alone
				})
				host := map[bool]string{true: "example.com", false: "upstream.example"}[protocols[name].tls]
				proxy := b.through(proxytest.Config{User: "user", Password: "canary", TLS: secure}, b.cfg.Roots)
				b.want(alice, "GET", "/1", host+"/1")
				time.Sleep(5 * readAfter)
				b.want(alice, "GET", "/2", host+"/2")
				b.want(bob, "GET", "/3", host+"/3")
				if open, _ := b.Open(); open != 2 {
					t.Errorf("%d connections are open, want one for each partition", open)
				}
				want := "CONNECT example.com:443 CONNECT example.com:443"
				if !protocols[name].tls {
					want = "GET http://upstream.example/1 GET http://upstream.example/2 GET http://upstream.example/3"
				}
				if got := strings.Join(proxy.Asked(), " "); got != want {
					t.Errorf("the proxy was asked for %q, want %q", got, want)
				}
			})
		}
	}
}

func TestProxyLetsNothingThrough(t *testing.T) {
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			b := serve(t, name, 100, func(w http.ResponseWriter, r *http.Request) { t.Error("the upstream was asked") })
			b.through(proxytest.Config{User: "user", Password: "canary"}, b.cfg.Roots)
			p, err := egress.New(egress.URL("http://user:wrong@"+b.cfg.Proxy.Address()), nil)
			must(t, err)
			b.to(b.base, Config{MaxIdle: 100, Roots: b.cfg.Roots, Proxy: p})
			_, err = b.ask(alice, "GET", "/", "")
			if refused, ok := errors.AsType[*egress.Error](err); !ok || refused.Code != 407 {
				t.Errorf("%v, want a 407 of the proxy", err)
			}
			if open, _ := b.Open(); open != 0 {
				t.Errorf("%d connections were kept", open)
			}
		})
	}
}

// TestProxyIsNotBelieved: a proxy that answers in the upstream's place has no
// certificate of it.
func TestProxyIsNotBelieved(t *testing.T) {
	b := serve(t, "TLS", 100, remote)
	b.through(proxytest.Config{}, x509.NewCertPool())
	if _, err := b.ask(alice, "GET", "/", ""); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("%v, want an unknown authority", err)
	}
}
