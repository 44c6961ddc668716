package benchmarks

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// polluxBinary is the pollux command, built once for all scenarios.
var polluxBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pollux-scenarios")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pollux")
	out, err := exec.Command("go", "build", "-o", path, "pollux/cmd/pollux").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := polluxBinary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is a pollux that runs as its users run it.
type process struct {
	t       testing.TB
	dir     string
	address string
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// client keeps enough connections for every goroutine of a scenario.
var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}}

// startPollux runs "pollux serve" in dir with the config, to which an address
// is added, and waits until it is ready.
func startPollux(t testing.TB, dir, config string) *process {
	t.Helper()
	path, err := polluxBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: dir, address: freeAddress(t)}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("listen: "+p.address+"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(path, "serve", "--config", file)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if res, err := client.Get("http://" + p.address + "/readyz"); err == nil {
			res.Body.Close()
			return p
		}
	}
	p.kill()
	t.Fatalf("pollux is not ready after 20 s:\n%s", p.output.String())
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// get sends a GET with the credential, and returns the code and the body.
func (p *process) get(path, credential string) (int, http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		p.t.Error(err)
		return 0, nil, ""
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	res, err := client.Do(req)
	if err != nil {
		p.t.Error(err)
		return 0, nil, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Error(err)
	}
	return res.StatusCode, res.Header, string(body)
}

// files returns everything that the process wrote: its output and the files in
// its directory.
func (p *process) files() string {
	p.t.Helper()
	var all strings.Builder
	all.WriteString(p.output.String())
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
