package webhooks

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pollux/proxy/egress"
	"pollux/proxy/egress/proxytest"
)

func through(t *testing.T, proxy string) *egress.Proxy {
	t.Helper()
	p, err := egress.New(egress.URL(proxy), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestThroughProxy: a proxy is told the address that was checked, and the
// receiver the name that it is called by.
func TestThroughProxy(t *testing.T) {
	const public = "8.8.8.8"
	host := make(chan string, 1)
	hook := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host <- r.Host })
	clear, secret := httptest.NewServer(hook), httptest.NewTLSServer(hook)
	defer clear.Close()
	defer secret.Close()
	proxy := proxytest.Start(t, proxytest.Config{User: "user", Password: "canary", Names: map[string]string{
		public + ":443": secret.Listener.Addr().String(), "10.1.2.3:80": clear.Listener.Addr().String(),
	}})
	p := through(t, proxy.With("user", "canary"))
	at := netip.MustParseAddr(public)
	guard := newAddresses([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, resolver(t, func() netip.Addr { return at }))
	plain, secure := guard.transport(true, p), guard.transport(false, p)
	defer plain.CloseIdleConnections()
	defer secure.CloseIdleConnections()
	secure.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	secure.TLSClientConfig.RootCAs.AddCert(secret.Certificate())
	st := &Settings{addresses: guard, plain: plain, secure: secure, timeout: 5 * time.Second}
	for receiver, want := range map[string]string{"https://example.com/hook": "CONNECT " + public + ":443", "http://10.1.2.3/hook": "CONNECT 10.1.2.3:80"} {
		if _, err := guard.register(t.Context(), receiver); err != nil {
			t.Errorf("register %s: %v", receiver, err)
		}
		if a := st.send(t.Context(), receiver, "msg_1", []byte("{}"), nil); !a.ok {
			t.Fatalf("%s: %+v", receiver, a)
		}
		if got := <-host; !strings.Contains(receiver, "://"+got+"/") {
			t.Errorf("%s was asked as %s", receiver, got)
		}
		if asked := proxy.Asked(); !slices.Contains(asked, want) {
			t.Errorf("the proxy was asked for %q, want %q", asked, want)
		}
	}
}

// TestProxyIsAskedForNothingForbidden: the checks come first, and a name that
// changes its mind leads nowhere.
func TestProxyIsAskedForNothingForbidden(t *testing.T) {
	const refused = "the proxy refuses to connect (403)"
	p := through(t, proxytest.Start(t, proxytest.Config{Refuse: http.StatusForbidden}).URL)
	var asked atomic.Int64
	guard := newAddresses(nil, resolver(t, func() netip.Addr {
		if asked.Add(1) == 1 {
			return netip.MustParseAddr("8.8.8.8")
		}
		return netip.MustParseAddr("127.0.0.1")
	}))
	st := &Settings{addresses: guard, plain: guard.transport(true, p), secure: guard.transport(false, p), timeout: 5 * time.Second}
	if _, err := guard.register(t.Context(), "https://rebind.example/hook"); err != nil {
		t.Fatal(err) // it leads to a public address
	}
	for _, receiver := range append(forbiddenReceivers("443"), "https://rebind.example/hook") {
		if a := st.send(t.Context(), receiver, "msg_1", []byte("{}"), nil); a.StatusCode != nil || *a.Error == refused {
			t.Errorf("the proxy was asked for %s", receiver)
		}
	}
	if asked.Load() < 2 {
		t.Error("nothing was resolved when connecting")
	}
	if a := st.send(t.Context(), "https://8.8.8.8/hook", "msg_1", []byte("{}"), nil); a.Error == nil || *a.Error != refused {
		t.Errorf("a public address: %+v, want that the proxy is asked", a)
	}
}

func TestProxyOfWebhooksIsValidated(t *testing.T) {
	for proxy, faulty := range map[egress.URL]bool{"": false, "http://user:canary@proxy.example:3128": false, "canary": true, "socks5://user:canary@proxy.example": true} {
		c := DefaultConfig()
		c.Proxy = proxy
		if got := c.Validate().Error(); (got != "") != faulty || faulty && !strings.HasPrefix(got, "proxy: ") || strings.Contains(got, "canary") {
			t.Errorf("%s: %s", string(proxy), got)
		}
	}
}
