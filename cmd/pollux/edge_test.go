package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate for example.com with its key into dir, and
// returns who believes in it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	writeIn(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

// TestServeTLS: what works in plain works with TLS, streams and their ends
// included, and a silent connection holds up nobody.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	upstream := progressing(t)
	dir := t.TempDir()
	pool := certificate(t, dir)
	config := fmt.Sprintf("listen: 127.0.0.1:0\ntls: {cert: %s, key: %s}\nstore: {driver: none}\nupstreams:\n  one: {provider: vessl, base_url: %q, freshness: {in_progress: 1h}}\n",
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), upstream.URL)
	p := start(t, "serve", "--config", writeIn(t, dir, "config.yaml", config))
	address := p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	for range 20 {
		silent, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}}
	ask := func(accept string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/tasks/one/task1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		r.Header.Set("Authorization", "Bearer of-this-test")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	answer := ask("application/json")
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != 200 || answer.TLS.Version < tls.VersionTLS12 || !strings.Contains(string(body), `"status":"in_progress"`) {
		t.Errorf("got %d %s", answer.StatusCode, body)
	}
	stream := ask("text/event-stream")
	if line, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "id:") {
		t.Errorf("the stream begins with %q, %v", line, err)
	}
	stream.Body.Close()
	metrics := func() string {
		t.Helper()
		answer, err := client.Get("https://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return string(text)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(metrics(), "\npollux_streams_open 0\n"); {
		if time.Now().After(deadline) {
			t.Fatal("nobody noticed within ten seconds that the client of a stream has left")
		}
	}
	if answer, err := http.Get("http://" + address + "/healthz"); err == nil {
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("plain HTTP is answered")
		}
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}

// TestTrustedProxies: limits per address are those of the clients behind a
// trusted proxy, whichever way it names them.
func TestTrustedProxies(t *testing.T) {
	dir := t.TempDir()
	config := "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8]\nstore: {driver: none}\nlimits: {connections_per_ip: 2}\n" +
		"clients: [{name: ci, key: plx_of-this-test, upstreams: ['*'], scopes: [fleet]}]\nupstreams: {orq: {provider: orq}}\n"
	p := start(t, "serve", "--config", writeIn(t, dir, "config.yaml", config))
	address := p.stderr.await(t, `msg=listening address=(\S+)`)[1]

	healthy := func(client string) (net.Conn, bool) {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		header := ""
		if client != "" {
			header = "PROXY TCP4 " + client + " 10.0.0.1 4711 80\r\n"
		}
		fmt.Fprintf(c, "%sGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", header)
		line, err := bufio.NewReader(c).ReadString('\n')
		return c, err == nil && strings.HasPrefix(line, "HTTP/1.1 200 ")
	}
	var first net.Conn
	for i, test := range []struct {
		client string
		want   bool
	}{
		{"198.51.100.1", true}, {"198.51.100.1", true}, {"198.51.100.1", false}, {"198.51.100.2", true},
		{"", true}, {"", true}, {"", true}, // the proxy's own, as many as it likes
	} {
		c, got := healthy(test.client)
		if got != test.want {
			t.Errorf("connection %d, of %q: got %v, want %v", i, test.client, got, test.want)
		}
		if i == 0 {
			first = c
		}
	}
	first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, ok := healthy("198.51.100.1"); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed still counts")
		}
	}

	login := func(client string) int {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/session", strings.NewReader(`{"key": "plx_wrong"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", "1.1.1.1, "+client)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for range 10 {
		if code := login("198.51.100.7"); code != http.StatusUnauthorized {
			t.Fatalf("login: %d", code)
		}
	}
	if one, other := login("198.51.100.7"), login("198.51.100.8"); one != http.StatusTooManyRequests || other != http.StatusUnauthorized {
		t.Errorf("after ten attempts: %d, another client behind the same proxy: %d", one, other)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}
