package webhooks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// witness counts connections to every loopback address it can listen on.
type witness struct {
	connections atomic.Int64
	port        string
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1", "0.0.0.0"} {
		port := w.port
		if port == "" {
			port = "0"
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			if host == "127.0.0.1" {
				t.Fatal(err)
			}
			continue // taken by another of ours, or no IPv6 here
		}
		_, w.port, _ = net.SplitHostPort(ln.Addr().String())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				w.connections.Add(1)
				c.Close()
			}
		}()
		t.Cleanup(func() { ln.Close(); <-done })
	}
	return w
}

// forbiddenAddresses are addresses of special networks, and public-looking ones
// that lead there.
var forbiddenAddresses = strings.Fields(`
	0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.0.0.2 127.255.255.254
	169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1
	192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
	224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
	[::] [::1] [::2] [::127.0.0.1] [::169.254.169.254] [::8.8.8.8] [::ffff:127.0.0.1] [::ffff:7f00:1]
	[::ffff:169.254.169.254] [::ffff:10.0.0.1] [::ffff:192.168.0.1] [::ffff:0.0.0.0] [::ffff:0:127.0.0.1]
	[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [64:ff9b::169.254.169.254] [64:ff9b::192.168.1.1]
	[64:ff9b:1::1] [64:ff9b:1::7f00:1] [64:ff9b:1:ffff::8.8.8.8] [100::1] [100:0:0:1::1]
	[2001::1] [2001:0:7f00:1::1] [2001:0:808:808:0:0:80ff:fffe] [2001:0:808:808::f5ff:fffe] [2001:2::1] [2001:10::1]
	[2001:20::1] [2001:db8::1] [2002:7f00:1::1] [2002:a00:1::1] [2002:a9fe:a9fe::1] [2002:c0a8:1::1] [2002:e000:1::1]
	[2620:4f:8000::1] [2a00:1450::5efe:127.0.0.1] [2a00:1450::200:5efe:10.0.0.1] [3fff::1] [4000::1] [5f00::1]
	[fc00::1] [fd00::1] [fd00:ec2::254] [fe80::1] [febf::1] [fec0::1] [feff::1] [ff02::1] [ff0e::1] [e000::1]`)

// forbiddenReceivers are URLs that no receiver may have, port being the
// witness's.
func forbiddenReceivers(port string) []string {
	var all []string
	for _, host := range forbiddenAddresses {
		all = append(all, "https://"+host+":"+port+"/hook", "http://"+host+":"+port+"/hook")
	}
	for _, host := range []string{ // notations
		"2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "0", "1", "00.0.0.0",
		"127.0.0.1.", "0x7F.0x0.0x0.0x1", "127.0.0.01", "0127.0.0.1", "127.0.0.256", "1.2.3", "256", "4294967296", "example.1", "example.0x7f",
		"127%2e0.0.1", "%31%32%37.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛocalhost", "localhost%00", "local host", "-a.example", "a..example",
		"[::1%25lo]", "[fe80::1%25eth0]", "[::1", "::1", "[127.0.0.1]", "[::ffff:127.0.0.1%25lo]", "[v1.x]", "",
	} {
		all = append(all, "https://"+host+":"+port+"/hook")
	}
	for _, raw := range []string{
		"https://user@127.0.0.1:PORT/", "https://user:pass@example.com:PORT/", "https://example.com@127.0.0.1:PORT/",
		"https://127.0.0.1:PORT@example.com/", "https://127.0.0.1:PORT#@example.com/", "https://example.com:PORT/#fragment", "https://example.com/#",
		"https://127.0.0.1:PORT\\@example.com/", "https:\\\\127.0.0.1:PORT/", "https:/127.0.0.1:PORT/", "https:127.0.0.1:PORT", "https:///127.0.0.1:PORT/",
		"//127.0.0.1:PORT/", "/hook", "hook", "", " https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/ ", "https://127.0.0.1\t:PORT/", "https://127.0.0.1:PORT\r\n/",
		"ftp://127.0.0.1:PORT/", "file:///etc/passwd", "gopher://127.0.0.1:PORT/", "data:text/plain,x", "javascript:1", "unix:///run/x", "HTTPS+unix://x/",
		"https://localhost:PORT/", "https://LOCALHOST:PORT/", "https://localhost.:PORT/", "https://job.LocalHost:PORT/", "https://a.b.localhost.:PORT/", "http://localhost:PORT/", "http://example.com/",
		"https://example.com:0/", "https://example.com:65536/", "https://example.com:0443/", "https://example.com:/", "https://example.com:+443/", "https://example.com:x/",
	} {
		all = append(all, strings.ReplaceAll(raw, "PORT", port))
	}
	return all
}

// TestForbiddenReceivers: at registration and, had that let them through, when
// the connection is made, nothing of ours is reached.
func TestForbiddenReceivers(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	w := newWitness(t)
	all := forbiddenReceivers(w.port)
	if len(all) < 200 {
		t.Fatalf("%d targets, want at least 200", len(all))
	}
	guard := newAddresses(nil, nil)
	plain, secure := guard.transport(true, nil), guard.transport(false, nil)
	defer plain.CloseIdleConnections()
	defer secure.CloseIdleConnections()
	st := &Settings{addresses: guard, plain: plain, secure: secure, timeout: 2 * time.Second}
	for _, raw := range all {
		if _, err := guard.register(t.Context(), raw); err == nil {
			t.Errorf("%q may be registered", raw)
		}
		if u, err := url.Parse(raw); err != nil || u.Hostname() == "" || u.Hostname() == "example.com" || u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		if a := st.send(t.Context(), raw, "msg_1", []byte("{}"), [][]byte{[]byte("secret")}); a.StatusCode != nil || a.Error == nil {
			t.Errorf("%q was reached: %+v", raw, a)
		}
	}
	if n := w.connections.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	w.mustSee(t)
}

// mustSee fails if the witness is blind.
func (w *witness) mustSee(t *testing.T) {
	t.Helper()
	before := w.connections.Load()
	c, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF || w.connections.Load() != before+1 {
		t.Errorf("the witness counts %d connections after one, %v", w.connections.Load()-before, err)
	}
}

func TestAllowedReceivers(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("::ffff:192.168.7.0/120")}
	for _, c := range []struct {
		raw   string
		allow []netip.Prefix
		want  error
	}{
		{"https://8.8.8.8/hook?x=1", nil, nil},
		{"https://8.8.8.8:1/", nil, nil},
		{"https://[2606:4700::1111]:8443/", nil, nil},
		{"https://[64:ff9b::8.8.8.8]/", nil, nil},
		{"https://[2002:808:808::1]/", nil, nil},
		{"HTTPS://8.8.8.8/", nil, nil},
		{"http://8.8.8.8/", nil, ErrPlain},
		{"http://8.8.8.8/", allow, ErrPlain},
		{"https://8.8.8.8/", allow, nil},
		{"http://10.1.2.3:8080/", allow, nil},
		{"https://10.1.2.3/", allow, nil},
		{"http://[::ffff:10.1.2.3]/", allow, nil},
		{"http://192.168.7.9/", allow, nil},
		{"http://192.168.8.9/", allow, ErrAddress},
		{"http://10.2.0.1/", allow, ErrAddress},
		{"http://[fd00:1::2]/", allow, nil},
		{"http://[fd00:2::2]/", allow, ErrAddress},
		{"https://127.0.0.1/", allow, ErrAddress},
	} {
		if _, err := newAddresses(c.allow, nil).register(t.Context(), c.raw); !errors.Is(err, c.want) {
			t.Errorf("%s with %v allowed: %v, want %v", c.raw, c.allow, err, c.want)
		}
	}
}

// resolver answers every name with the addresses of answer, over a connection
// of its own.
func resolver(t *testing.T, answer func() netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			for {
				var size [2]byte // over a stream: RFC 1035, section 4.2.2
				if _, err := readFull(ours, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := readFull(ours, query); err != nil {
					return
				}
				reply, err := reply(query, answer)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := ours.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
					return
				}
			}
		}()
		return theirs, nil
	}}
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = c.Read(b[n:])
		n += more
	}
	return n, err
}

// reply answers a question for an A record, and any other with nothing (RFC
// 1035, section 4.1).
func reply(query []byte, answer func() netip.Addr) ([]byte, error) {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	if end += 5; end > len(query) {
		return nil, errors.New("a query without a question")
	}
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if kind := binary.BigEndian.Uint16(query[end-4:]); kind == 1 {
		address := answer().As4()
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, address[:]...)
	}
	return out, nil
}

// TestRebinding: a name that says something public when it is looked at, and
// loopback when it is used.
func TestRebinding(t *testing.T) {
	w := newWitness(t)
	var asked atomic.Int64
	public := netip.MustParseAddr("8.8.8.8")
	guard := newAddresses(nil, resolver(t, func() netip.Addr {
		if asked.Add(1)%2 == 1 {
			return public
		}
		return netip.MustParseAddr("127.0.0.1")
	}))
	secure := guard.transport(false, nil)
	defer secure.CloseIdleConnections()
	st := &Settings{addresses: guard, secure: secure, timeout: time.Second}
	raw := fmt.Sprintf("https://rebind.example:%s/hook", w.port)
	refused := 0
	for range 20 {
		if _, err := guard.register(t.Context(), raw); err != nil {
			refused++
			continue
		}
		a := st.send(t.Context(), raw, "msg_1", []byte("{}"), nil)
		if a.StatusCode != nil || *a.Error != "the address is not allowed" {
			t.Errorf("attempt: %+v", a)
		}
	}
	if n := w.connections.Load(); n > 0 {
		t.Errorf("%d connections to loopback", n)
	}
	if asked.Load() < 40-int64(refused) {
		t.Errorf("the resolver was asked %d times: nothing was resolved at connect", asked.Load())
	}
}

// TestRedirects: one is a failure, wherever it leads.
func TestRedirects(t *testing.T) {
	w := newWitness(t)
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:"+w.port+"/", code))
		guard := newAddresses([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil)
		plain := guard.transport(true, nil)
		st := &Settings{addresses: guard, plain: plain, timeout: 5 * time.Second}
		a := st.send(t.Context(), server.URL, "msg_1", []byte("{}"), nil)
		if a.ok || a.StatusCode == nil || *a.StatusCode != code || *a.Error != "redirects are not followed" {
			t.Errorf("%d: %+v", code, a)
		}
		plain.CloseIdleConnections()
		server.Close()
	}
	if n := w.connections.Load(); n > 0 {
		t.Errorf("%d connections behind a redirect", n)
	}
}

// TestLargeAnswers: what a receiver says is read up to a limit, and dropped.
func TestLargeAnswers(t *testing.T) {
	sent := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for range 1 << 14 {
			m, err := w.Write(make([]byte, 1<<14))
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	}))
	defer server.Close()
	guard := newAddresses([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil)
	plain := guard.transport(true, nil)
	defer plain.CloseIdleConnections()
	st := &Settings{addresses: guard, plain: plain, timeout: 10 * time.Second}
	if a := st.send(t.Context(), server.URL, "msg_1", []byte("{}"), nil); !a.ok {
		t.Errorf("%+v", a)
	}
	if n := <-sent; n > 100<<20 {
		t.Errorf("a receiver could send %d bytes", n)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, raw := range forbiddenReceivers("443") {
		f.Add(raw)
	}
	f.Add("https://example.com/hook?token=x")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			return
		}
		again, err := parseURL(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("%q reads as %q, which reads as %v, %v", raw, u, again, err)
		}
		if u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
			t.Errorf("%q passes as %#v", raw, u)
		}
	})
}
