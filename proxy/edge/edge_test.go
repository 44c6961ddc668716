package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issued is a certificate and the authority for others, self-signed.
func issued(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// connected is the two ends of a connection, which take what is written before
// it is read.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// shakeHands is what a client sees of the certificate, with its own if it has any.
func shakeHands(t *testing.T, server *TLS, client *tls.Config) (name string, err error) {
	t.Helper()
	near, far := connected(t)
	defer near.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c := server.Server(far)
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			_, _ = c.Write([]byte("x"))
		}
	}()
	defer func() { <-served }()
	c := tls.Client(near, client)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		near.Close()
		return "", err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // with TLS 1.3 a refused client learns it here
		near.Close()
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestTLSFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	files := TLSConfig{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	var log strings.Builder
	install := func(name string) {
		cert, key := issued(t, name)
		// As Kubernetes does: a directory of its own, then the link is swapped.
		version := filepath.Join(dir, name)
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(version, "tls.crt"), cert)
		write(t, filepath.Join(version, "tls.key"), key)
		for _, file := range []string{"tls.crt", "tls.key"} {
			os.Remove(filepath.Join(dir, file))
			if err := os.Symlink(filepath.Join(version, file), filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	install("first.example")
	server, err := NewTLS(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	sees := func(want string) {
		t.Helper()
		server.looked = time.Time{} // a second has passed
		if got, err := shakeHands(t, server, &tls.Config{InsecureSkipVerify: true}); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	sees("first.example")
	install("second.example")
	sees("second.example")
	write(t, filepath.Join(dir, "second.example", "tls.key"), []byte("half of a k"))
	sees("second.example")
	sees("second.example")
	if got := strings.Count(log.String(), "the one before stays"); got != 1 {
		t.Errorf("said %d times that the files cannot be used:\n%s", got, &log)
	}
	if strings.Contains(log.String(), "half of") {
		t.Errorf("the log quotes the key:\n%s", &log)
	}
	os.Remove(filepath.Join(dir, "tls.crt"))
	sees("second.example")
	install("third.example")
	sees("third.example")
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := issued(t, "pollux.example")
	authority, clientKey := issued(t, "client.example")
	files := TLSConfig{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
	write(t, files.Cert, cert)
	write(t, files.Key, key)
	write(t, files.ClientCA, authority)
	server, err := NewTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	known, err := tls.X509KeyPair(authority, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	strangerCert, strangerKey := issued(t, "stranger.example")
	stranger, err := tls.X509KeyPair(strangerCert, strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		client []tls.Certificate
		old    bool // TLS 1.1
		want   bool
	}{
		{"of the authority", []tls.Certificate{known}, false, true},
		{"of another", []tls.Certificate{stranger}, false, false},
		{"none", nil, false, false},
		{"an old version", []tls.Certificate{known}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := &tls.Config{InsecureSkipVerify: true, Certificates: test.client}
			if test.old {
				config.MinVersion, config.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			}
			if _, err := shakeHands(t, server, config); (err == nil) != test.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTLSFaults(t *testing.T) {
	dir := t.TempDir()
	cert, key := issued(t, "pollux.example")
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("cert"), cert)
	write(t, at("key"), key)
	write(t, at("text"), []byte("canary"))
	for _, test := range []struct {
		name  string
		files TLSConfig
		want  string
	}{
		{"no file", TLSConfig{Cert: at("nowhere"), Key: at("key")}, "cert: no such file or directory"},
		{"no certificate", TLSConfig{Cert: at("text"), Key: at("key")}, "cert: no certificate with its key: tls: failed to find any PEM data in certificate input"},
		{"no authority", TLSConfig{Cert: at("cert"), Key: at("key"), ClientCA: at("text")}, "client_ca: holds no certificate in PEM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewTLS(test.files, slog.New(slog.DiscardHandler))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if _, ok := errors.AsType[*FileError](err); !ok {
				t.Errorf("%T names no key", err)
			}
		})
	}
}

func TestClientBehindProxies(t *testing.T) {
	var trusted Trusted
	for _, network := range []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7"} {
		prefix, err := ParseTrusted(network)
		if err != nil {
			t.Fatal(err)
		}
		trusted = append(trusted, prefix)
	}
	for _, test := range []struct {
		name, remote string
		fields       []string
		want         string
	}{
		{"nobody in between", "203.0.113.5", nil, "203.0.113.5"},
		{"a client that pretends", "203.0.113.5", []string{"198.51.100.1"}, "203.0.113.5"},
		{"one proxy", "10.1.2.3", []string{"198.51.100.1"}, "198.51.100.1"},
		{"one proxy, a client that pretends", "10.1.2.3", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.1.2.3", []string{"198.51.100.1, 192.0.2.7"}, "198.51.100.1"},
		{"several fields", "10.1.2.3", []string{"1.1.1.1", "198.51.100.1,10.9.9.9"}, "198.51.100.1"},
		{"with ports", "10.1.2.3", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "2001:db8::1", []string{"[2001:db9::2]:4711"}, "2001:db9::2"},
		{"mapped", "::ffff:10.1.2.3", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"nonsense", "10.1.2.3", []string{"198.51.100.1, unknown"}, "10.1.2.3"},
		{"empty", "10.1.2.3", []string{""}, "10.1.2.3"},
		{"only proxies", "10.1.2.3", []string{"10.4.4.4"}, "10.4.4.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var fields [][]byte
			for _, f := range test.fields {
				fields = append(fields, []byte(f))
			}
			if got := trusted.Client(netip.MustParseAddr(test.remote), fields); got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	for _, wrong := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0.0/8 "} {
		if _, err := ParseTrusted(wrong); err == nil {
			t.Errorf("%q is a network", wrong)
		}
	}
}

func TestAnnounced(t *testing.T) {
	for _, test := range []struct {
		name, sent, want, rest string // want "": the proxy itself
	}{
		{"version 1", "PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\nGET", "198.51.100.1:4711", "GET"},
		{"version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x01\x0a\x00\x00\x01\x12\x67\x00\x50GET", "198.51.100.1:4711", "GET"},
		{"a health check of the proxy", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET", "", "GET"},
		{"no header", "GET / HTTP/1.1\r\n", "", "GET / HTTP/1.1\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() { _, _ = near.Write([]byte(test.sent)); near.Close() }()
			defer far.Close()
			a := Announce(far, 5*time.Second)
			got := ""
			if client := a.Client(); client != nil {
				got = client.String()
			}
			rest := make([]byte, 64)
			n, err := a.Read(rest)
			if got != test.want || err != nil || string(rest[:n]) != test.rest {
				t.Errorf("got %q and %q, %v", got, rest[:n], err)
			}
		})
	}
}
