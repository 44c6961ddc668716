package upstream

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pollux/providers"
	"pollux/proxy/egress"
	"pollux/proxy/egress/proxytest"
	"pollux/proxy/poller/transport"
)

// behindProxy is an upstream with a certificate of its own authority, that only
// a proxy finds, and the file of that authority.
func behindProxy(t *testing.T, cfg proxytest.Config) (proxy *proxytest.Proxy, caFile string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, r.Header.Get("Proxy-Authorization"))
	}))
	t.Cleanup(s.Close)
	cfg.Names = map[string]string{"example.com:443": s.Listener.Addr().String()}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return proxytest.Start(t, cfg), caFile
}

// asked is what an upstream with such a config answers, or why it does not.
func asked(t *testing.T, c Config) (string, error) {
	t.Helper()
	way, err := newRoute(&c)
	if err != nil {
		return "", err
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	connections, err := way.connections(transport.Config{Base: base, DialTimeout: c.Timeout, Patience: c.Timeout, MaxIdle: 1}, way.roots)
	if err != nil {
		return "", err
	}
	defer connections.Close()
	u := &Upstream{Config: c, Transport: connections}
	req, _ := http.NewRequest("GET", c.BaseURL+"/", nil)
	res, _, err := u.Fetch(&Partition{}, req, func(*Response) (v providers.Verdict) { return v })
	if err != nil {
		return "", err
	}
	return string(res.Body), nil
}

func TestUpstreamBehindProxy(t *testing.T) {
	proxy, caFile := behindProxy(t, proxytest.Config{User: "user", Password: "canary"})
	c := DefaultConfig()
	c.BaseURL, c.Proxy, c.CAFile = "https://example.com", egress.URL(proxy.With("user", "canary")), caFile
	if got, err := asked(t, c); err != nil || got != "example.com" {
		t.Errorf("%q, %v", got, err)
	}
	if want := []string{"CONNECT example.com:443"}; !slices.Equal(proxy.Asked(), want) {
		t.Errorf("the proxy was asked for %q, want %q", proxy.Asked(), want)
	}
	untrusted := c
	untrusted.CAFile = ""
	if _, err := asked(t, untrusted); err == nil || !strings.Contains(err.Error(), "TLS failed") {
		t.Errorf("without its authority: %v", err)
	}
	wrong := c
	wrong.Proxy = egress.URL(proxy.With("user", "wrong-canary"))
	if _, err := asked(t, wrong); err == nil || err.Error() != "reach the upstream: the proxy wants another user and password (407)" {
		t.Errorf("with a wrong password: %v", err)
	}
}

// TestResultsElsewhereBehindProxy: the proxy is told public addresses only.
func TestResultsElsewhereBehindProxy(t *testing.T) {
	const refused = "the proxy refuses to connect (403)"
	proxy := proxytest.Start(t, proxytest.Config{Refuse: http.StatusForbidden})
	e := elsewhere{route{proxy: egress.URL(proxy.URL)}}
	for target, want := range map[string]string{
		"https://127.0.0.1/result": errPrivate.Error(), "https://localhost/result": errPrivate.Error(), "http://169.254.169.254/": errPrivate.Error(),
		"https://8.8.8.8/result": refused,
	} {
		req, _ := http.NewRequest("GET", target, nil)
		if _, err := e.RoundTrip(req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}

// TestProxyOfEnvironment reads the variables in a process of its own: they are
// read once.
func TestProxyOfEnvironment(t *testing.T) {
	targets := []string{"https://api.example", "http://api.example", "https://inside.corp.example", "http://127.0.0.1:8081", "http://localhost:8081"}
	if os.Getenv("ROUTES") != "" {
		for _, target := range targets {
			at, _ := url.Parse(target)
			p, err := route{}.proxyTo(at)
			if err != nil {
				fmt.Println("-", target, err)
			} else if p != nil {
				fmt.Println("-", target, p.Address())
			}
		}
		return
	}
	for name, c := range map[string]struct{ env, want string }{
		"none":    {"X=", ""},
		"both":    {"HTTPS_PROXY=http://secure.example:3128 http_proxy=http://user:canary@plain.example:8080 NO_PROXY=.corp.example", "- https://api.example secure.example:3128\n- http://api.example plain.example:8080\n"},
		"useless": {"HTTPS_PROXY=socks5://user:canary@proxy.example", "- https://api.example " + egress.ErrURL.Error() + "\n- https://inside.corp.example " + egress.ErrURL.Error() + "\n"},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestProxyOfEnvironment$")
		child.Env = append(strings.Fields(c.env), "ROUTES=1")
		out, err := child.Output()
		got, _, _ := strings.Cut(string(out), "PASS")
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

func TestCAFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.pem"): "cannot be read: no such file or directory",
		empty:                          "holds no certificate that can be read (PEM)",
		dir:                            "want a regular file of at most 1048576 bytes",
	} {
		if _, err := newRoute(&Config{CAFile: file}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", filepath.Base(file), err, want)
		}
	}
}
