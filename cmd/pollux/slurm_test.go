package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// cluster is a Slurm of one node, of Debian's packages.
type cluster struct {
	conf  string // SLURM_CONF
	rest  string // address of slurmrestd
	token string // JWT of root
}

// startCluster starts one, and ends it with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	for _, program := range []string{"slurmctld", "slurmd", "slurmrestd", "munged", "sbatch"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: this test needs what .ci/deps installs", err)
		}
	}
	dir, err := os.MkdirTemp("", "slurm") // t.TempDir is nobody else's, and munge is another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ports := freePorts(t, 3)
	command := exec.Command(filepath.Join("testdata", "slurm", "cluster.sh"), dir, ports[0], ports[1], ports[2])
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = command.Wait() // what was killed ends with an error
	})
	c := &cluster{conf: filepath.Join(dir, "slurm.conf"), rest: "127.0.0.1:" + ports[2]}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out, err := c.run("scontrol", "token", "username=root", "lifespan=9999")
		if token, ok := strings.CutPrefix(strings.TrimSpace(out), "SLURM_JWT="); err == nil && ok {
			c.token = token
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "out"))
			t.Fatalf("the cluster does not start: %v\n%s", err, log)
		}
	}
	for conn, err := net.Dial("tcp", c.rest); ; conn, err = net.Dial("tcp", c.rest) {
		if err == nil {
			conn.Close()
			return c
		}
		time.Sleep(100 * time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// run runs one of Slurm's own programs.
func (c *cluster) run(program string, args ...string) (string, error) {
	command := exec.Command(program, args...)
	command.Env = append(os.Environ(), "SLURM_CONF="+c.conf)
	out, err := command.Output()
	return string(out), err
}

// submit is a job whose script is one line, in a directory that is there.
func (c *cluster) submit(t *testing.T, script string, flags ...string) string {
	t.Helper()
	out, err := c.run("sbatch", append([]string{"--parsable", "--chdir=/tmp", "--output=/dev/null", "--wrap=" + script}, flags...)...)
	if err != nil {
		t.Fatalf("sbatch: %v", err)
	}
	return strings.TrimSpace(out)
}

// freePorts are ports on which nobody listens at present.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		_, ports[i], _ = net.SplitHostPort(ln.Addr().String())
	}
	return ports
}

// counterOf is a counter of a Pollux, 0 if it is not served.
func counterOf(t *testing.T, base, series string) float64 {
	t.Helper()
	_, text, _ := get(t, base+"/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%s: %v", series, err)
			}
			return n
		}
	}
	return 0
}

// TestSlurm runs jobs on a real cluster and follows them through Pollux.
func TestSlurm(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	dir := t.TempDir()
	writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {driver: none}
upstreams:
  slurm: {provider: slurm, base_url: "http://%[1]s/slurm/v0.0.38"}
  swept: {provider: slurm, base_url: "http://%[1]s/slurm/v0.0.38", sweep: 1s, sweep_at_least: 3}
`, c.rest))
	p := start(t, "serve", "--config", filepath.Join(dir, "config.yaml"))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	ask := func(method, path, body string) (int, gjson.Result) {
		t.Helper()
		return askJSON(t, method, base+path, body, map[string]string{"X-SLURM-USER-NAME": "root", "X-SLURM-USER-TOKEN": c.token})
	}
	// until polls a job until it is in one of the given statuses.
	until := func(id string, want ...string) gjson.Result {
		t.Helper()
		for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
			code, doc := ask("GET", "/v1/tasks/slurm/"+id, "")
			if code != 200 {
				t.Fatalf("job %s: %d %s", id, code, doc.Raw)
			}
			for _, status := range want {
				if doc.Get("status").String() == status {
					return doc
				}
			}
			if time.Now().After(deadline) || doc.Get("terminal").Bool() {
				t.Fatalf("job %s is %s (%s), want %v", id, doc.Get("status"), doc.Get("native_status"), want)
			}
		}
	}

	held := c.submit(t, "true", "--hold")
	slow := c.submit(t, "sleep 600", "--time=1")
	running := c.submit(t, "sleep 600")
	bad := c.submit(t, "exit 3")
	if doc := until(held, "queued"); doc.Get("native_status").String() != "PENDING" {
		t.Errorf("a job that is held is %s", doc.Raw)
	}
	until(running, "in_progress")
	if doc := until(bad, "failed"); doc.Get("error.message").String() == "" || doc.Get("error.code").String() != "FAILED" {
		t.Errorf("a job that failed has the error %s", doc.Get("error").Raw)
	}

	code, created := ask("POST", "/native/slurm/job/submit", `{"script":"#!/bin/sh\nsleep 2\n","job":{"name":"from-pollux","environment":{"PATH":"/bin:/usr/bin"},`+
		`"current_working_directory":"/tmp","partition":"debug","tasks":1}}`)
	id := created.Get("job_id").String()
	if code != 200 || id == "" {
		t.Fatalf("submit through /native: %d %s", code, created.Raw)
	}
	code, doc := ask("GET", "/v1/tasks/slurm/"+id+"?wait=60", "")
	if doc.Get("status").String() != "completed" || doc.Get("metadata.name").String() != "from-pollux" || !doc.Get("created_at").Exists() {
		t.Errorf("the job submitted through /native: %d %s", code, doc.Raw)
	}

	// Jobs that a sweep follows through the cluster's list of all jobs.
	var refs []string
	for range 4 {
		refs = append(refs, `"swept/`+c.submit(t, "sleep 3")+`"`)
	}
	code, followed := ask("POST", "/v1/tasks/batch", `{"tasks":[`+strings.Join(refs, ",")+`],"wait":60,"until":"all"}`)
	for _, result := range followed.Get("results").Array() {
		if status := result.Get("document.status").String(); status != "completed" {
			t.Errorf("a job that was followed by a sweep is %s: %d %s", status, code, result.Raw)
		}
	}
	told := counterOf(t, base, `pollux_sweep_tasks_total{upstream="swept"}`)
	pages := counterOf(t, base, `pollux_sweep_pages_total{outcome="read",upstream="swept"}`)
	polls := counterOf(t, base, `pollux_upstream_polls_total{outcome="answered",upstream="swept"}`)
	if told == 0 || pages == 0 || polls-pages > 2*float64(len(refs)) {
		t.Errorf("%v jobs told by %v pages, and %v polls", told, pages, polls-pages)
	}

	if code, answer := ask("POST", "/v1/tasks/slurm/"+running+":cancel", ""); code != 202 {
		t.Errorf("cancel: %d %s", code, answer.Raw)
	}
	until(running, "cancelled")
	if code, p := ask("GET", "/v1/tasks/slurm/999999", ""); code != 404 || !strings.HasSuffix(p.Get("type").String(), "/task-not-found") {
		t.Errorf("a job that does not exist: %d %s", code, p.Raw)
	}
	until(slow, "timed_out") // a minute is the least time limit that Slurm knows
	if code := p.end(t); code != exitOK || strings.Contains(p.stderr.String(), c.token) {
		t.Errorf("exit code %d, or the token is in the log", code)
	}
}
