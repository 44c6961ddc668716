package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/providers"
	"pollux/providers/sandbox"
)

// TestBehindNginx: with the config and the server block of docs/tls.md, a path
// arrives as it was sent, a stream while it is written, and who sends no Pollux
// key gets nothing.
func TestBehindNginx(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := sandbox.New(set, sandbox.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(simulated)
	defer upstream.Close()
	config := examples(t, "tls.md", "yaml")[0][1]
	key := strings.Fields(runWith(t, "", "key", "new", "--quiet", "ci").stdout)[0]
	t.Setenv("CI_KEY", key)
	config = strings.Replace(config, "127.0.0.1:8080", "127.0.0.1:0", 1) +
		fmt.Sprintf("store: {driver: none}\nupstreams: {orq: {provider: orq, base_url: %s/orq}}\n", upstream.URL)
	p := start(t, "serve", "--config", write(t, "config.yaml", config))
	address := p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	client := startNginx(t, address)

	const agent = "my agent/x"
	id, err := simulated.Create("orq", map[string]string{"agent_key": agent}, "me", "stuck")
	if err != nil {
		t.Fatal(err)
	}
	task := "https://pollux.example/v1/tasks/orq/" + url.PathEscape(agent) + "/" + id
	if got := ask(t, client, task, "", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a Pollux key: %s", got.Status)
	}
	if got := ask(t, client, task, key, ""); got.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s", task, got.Status)
	}
	stream := ask(t, client, task, key, "text/event-stream")
	arrived := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stream.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				arrived <- data
				return
			}
		}
		arrived <- "the end of the stream"
	}()
	select {
	case got := <-arrived:
		if !strings.Contains(got, `"upstream":"orq"`) {
			t.Errorf("the stream says %s", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing of the stream arrives while it goes on")
	}
	stream.Body.Close()
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}

func ask(t *testing.T, client *http.Client, target, key, accept string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer me")
	if key != "" {
		request.Header.Set("X-Pollux-Key", key)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// startNginx runs the server block of docs/tls.md in front of pollux, and
// returns a client that finds it as pollux.example.
func startNginx(t *testing.T, pollux string) *http.Client {
	t.Helper()
	dir := t.TempDir()
	roots := selfSigned(t, dir, "pollux.example")
	port := freePort(t)
	server := strings.NewReplacer("listen 443", "listen 127.0.0.1:"+port, "/etc/nginx/", dir+"/", "127.0.0.1:8080", pollux).
		Replace(examples(t, "tls.md", "nginx")[0][1])
	file := writeIn(t, dir, "nginx.conf", fmt.Sprintf("pid %[1]s/pid;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s;\nproxy_temp_path %[1]s;\n"+
		"fastcgi_temp_path %[1]s;\nuwsgi_temp_path %[1]s;\nscgi_temp_path %[1]s;\n%[2]s}\n", dir, server))
	nginx := exec.Command(nginxProgram(), "-p", dir, "-e", "stderr", "-c", file, "-g", "daemon off; master_process off;")
	log := newTranscript()
	nginx.Stdout, nginx.Stderr = log, log
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, "127.0.0.1:"+port)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		nginx.Process.Signal(os.Interrupt)
		nginx.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return &http.Client{Transport: transport}
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %v\n%s", err, log)
		}
	}
}

// nginxProgram is where Debian has it, which is not in everybody's PATH.
func nginxProgram() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}

// selfSigned writes pollux.crt and pollux.key into dir, for name.
func selfSigned(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"pollux.crt": {Type: "CERTIFICATE", Bytes: certificate}, "pollux.key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	return pool
}
