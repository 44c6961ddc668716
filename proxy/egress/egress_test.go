package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pollux/proxy/egress/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestURLs(t *testing.T) {
	for u, address := range map[URL]string{
		"http://proxy.example:3128":           "proxy.example:3128",
		"http://proxy.example":                "proxy.example:80",
		"https://proxy.example/":              "proxy.example:443",
		"http://user:p%40ss@proxy.example:80": "proxy.example:80",
		"http://[::1]:3128":                   "[::1]:3128",
	} {
		if p, err := New(u, nil); err != nil || p.Address() != address {
			t.Errorf("New(%q) = %v, %v, want %s", string(u), p, err, address)
		}
	}
	for _, u := range []URL{"", "proxy.example:3128", "socks5://proxy.example:1080", "http://", "http://proxy.example/path", "http://user:pass%zz@proxy.example", "http://proxy.example?x"} {
		if p, err := New(u, nil); p != nil || !errors.Is(err, ErrURL) {
			t.Errorf("New(%q) = %v, %v, want ErrURL", string(u), p, err)
		}
	}
}

func TestURLNeverPrints(t *testing.T) {
	const u URL = "http://user:canary%21@proxy.example:3128"
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("a proxy", "proxy", u, "in", struct{ P URL }{u})
	fmt.Fprintf(&out, "%v %+v %s %q %#v %v", u, u, u, u, u, struct{ P URL }{u})
	for _, secret := range append(u.Secrets(), "canary") {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in %s", secret, out.String())
		}
	}
	if want := []string{string(u), "canary!", "user:canary%21", "dXNlcjpjYW5hcnkh"}; !slices.Equal(u.Secrets(), want) {
		t.Errorf("secrets are %q, want %q", u.Secrets(), want)
	}
}

// echo answers what it is told, in upper case.
func echo(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 5)
			io.ReadFull(c, b)
			c.Write(bytes.ToUpper(b))
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestConnect(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, user := range []string{"", "user"} {
			t.Run(fmt.Sprintf("TLS %v user %q", secure, user), func(t *testing.T) {
				proxy := proxytest.Start(t, proxytest.Config{TLS: secure, User: user, Password: "p@:ss", Names: map[string]string{"name.example:7": echo(t)}})
				at := proxy.URL
				if user != "" {
					at = proxy.With(user, "p@:ss")
				}
				p, err := New(URL(at), proxy.Roots)
				if err != nil {
					t.Fatal(err)
				}
				c, err := p.Connect(t.Context(), "name.example:7")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				io.WriteString(c, "hello")
				if said, err := io.ReadAll(c); err != nil || string(said) != "HELLO" {
					t.Errorf("%q, %v", said, err)
				}
				if asked := proxy.Asked(); !slices.Equal(asked, []string{"CONNECT name.example:7"}) {
					t.Errorf("the proxy was asked for %q", asked)
				}
			})
		}
	}
}

func TestConnectFails(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := proxytest.Start(t, proxytest.Config{TLS: true})
	early := script(t, "HTTP/1.1 200 OK\r\n\r\nwhat nobody asked for")
	for _, c := range []struct{ name, proxy, want string }{
		{"wants a password", proxytest.Start(t, proxytest.Config{User: "user", Password: "other"}).With("user", "canary"), "the proxy wants another user and password (407)"},
		{"refuses", proxytest.Start(t, proxytest.Config{Refuse: 403}).URL, "the proxy refuses to connect (403)"},
		{"target is down", proxytest.Start(t, proxytest.Config{}).URL, "the proxy refuses to connect (502)"},
		{"proxy is down", closed.URL, "the proxy cannot be reached"},
		{"certificate", secure.URL, "the proxy's certificate is not trusted"},
		{"speaks no HTTP", script(t, "SSH-2.0-x\r\n"), "the proxy cannot be reached"},
		{"an answer without end", script(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)), "the proxy cannot be reached"},
		{"early bytes", early, "the proxy cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(URL(c.proxy), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Connect(t.Context(), strings.TrimPrefix(closed.URL, "http://"))
			if failed, ok := errors.AsType[*Error](err); !ok || failed.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// script is a server that says the same to everybody.
func script(t *testing.T, text string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				c.Read(make([]byte, 1000))
				io.WriteString(c, text)
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "http://" + ln.Addr().String()
}

// TestSilentProxy: one that never answers is left when the caller's time is up.
func TestSilentProxy(t *testing.T) {
	p, err := New(URL(script(t, "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Connect(ctx, "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that of the context", err)
	}
}

// TestWrite: a request that a proxy passes on asks with the proxy's own user,
// whatever it brought, and is itself left as it is.
func TestWrite(t *testing.T) {
	p, err := New("http://user:canary@127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []http.Header{nil, {"Proxy-Authorization": {"Basic other"}, "X": {"y"}}} {
		req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "upstream.example", Path: "/a"}, Header: h}
		var out strings.Builder
		if err := p.Write(&out, req); err != nil {
			t.Fatal(err)
		}
		said := out.String()
		if !strings.HasPrefix(said, "GET http://upstream.example/a HTTP/1.1\r\n") || strings.Contains(said, "other") || !strings.Contains(said, "Proxy-Authorization: Basic "+basic(url.UserPassword("user", "canary"))) {
			t.Errorf("with %d headers: not what a proxy is asked", len(h))
		}
		if got := req.Header.Get("Proxy-Authorization"); h != nil && got != "Basic other" {
			t.Error("the request itself was changed")
		}
	}
}
