package benchmarks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// follow opens a connection that waits for the task or streams it.
func (p *process) follow(id string, stream bool) (net.Conn, error) {
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil, err
	}
	target, accept := "/v1/tasks/vessl/"+id+"?wait=60", "application/json"
	if stream {
		target, accept = "/v1/tasks/vessl/"+id, "text/event-stream"
	}
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nAccept: %s\r\nConnection: close\r\n\r\n", target, accept)
	return c, err
}

// TestTwoThousandFollowers: 2,000 followers of one task, half on long-polls and
// half on streams, see its end within 100 ms of the upstream poll that found
// it, and the upstream sees one poll per lifetime.
func TestTwoThousandFollowers(t *testing.T) {
	var done atomic.Bool
	var found atomic.Int64 // when the upstream told the end
	u := newAPI(t, func(w http.ResponseWriter, r *http.Request, id string) {
		if !done.Load() {
			running(w, r, id)
			return
		}
		found.CompareAndSwap(0, time.Now().UnixNano())
		_, _ = io.WriteString(w, `{"status":"completed","status_code":200,"raw_output":"","output":{"ok":true}}`)
	})
	p := startPollux(t, t.TempDir(), u.config()+"limits: {connections_per_ip: 10000}\n")
	const followers = 2000
	start := time.Now()
	delays := make([]time.Duration, followers)
	var crowd sync.WaitGroup
	for i := range followers {
		crowd.Go(func() {
			c, err := p.follow("job1", i%2 == 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Second))
			lines := bufio.NewReader(c)
			for {
				line, err := lines.ReadString('\n')
				if strings.Contains(line, `"completed"`) {
					delays[i] = time.Duration(time.Now().UnixNano() - found.Load())
					return
				}
				if err != nil {
					t.Errorf("follower %d: %v before the end", i, err)
					return
				}
			}
		})
	}
	if !within(20*time.Second, func() bool { return p.followers() == followers }) {
		t.Errorf("%v of %d followers have come", p.followers(), followers)
	}
	atFirst := u.total()
	within(10*time.Second, func() bool { return u.total() >= atFirst+2 }) // so that two lifetimes pass with all of them
	done.Store(true)
	crowd.Wait()
	elapsed := time.Since(start)
	if n, most := u.total(), int(elapsed/(2*time.Second))+2; n > most {
		t.Errorf("%d upstream polls in %v, want at most %d", n, elapsed, most)
	}
	slices.Sort(delays)
	t.Logf("told after the upstream's answer: median %v, 99 %% %v, last %v", delays[followers/2], delays[followers*99/100], delays[followers-1])
	most := time.Second // 100 ms on a quiet machine; the reading clients share these cores
	if raceEnabled {
		most = 3 * time.Second
	}
	if last := delays[followers-1]; last > most {
		t.Errorf("the last follower was told after %v", last)
	}
}

// TestVanishedFollowers: thousands of followers whose clients die leave no
// goroutine and no descriptor behind after five seconds.
func TestVanishedFollowers(t *testing.T) {
	t.Parallel() // it mostly waits
	u := newAPI(t, running)
	p := startPollux(t, t.TempDir(), u.config()+"limits: {connections_per_ip: 10000}\n")
	p.get("/v1/tasks/vessl/job0", "k")
	before := p.descriptors()
	const followers = 5000
	conns := make([]net.Conn, followers)
	for i := range conns {
		c, err := p.follow(fmt.Sprintf("job%d", i%100), i%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	if !within(20*time.Second, func() bool { return p.followers() == followers }) {
		t.Fatalf("%v of %d followers have come", p.followers(), followers)
	}
	for _, c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	if !within(5*time.Second, func() bool { return p.descriptors() < before+100 }) { // connections to the upstream stay, 64 at most
		t.Errorf("%d descriptors five seconds later, %d before", p.descriptors(), before)
	}
	if !within(5*time.Second, func() bool { return p.metric("go_goroutines") < 200 }) {
		t.Errorf("%v goroutines after the followers left", p.metric("go_goroutines"))
	}
}

func within(d time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// descriptors is how many files and sockets the process has open.
func (p *process) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// followers is how many requests wait for a change, or stream changes.
func (p *process) followers() float64 {
	return p.metric("pollux_waits_open") + p.metric("pollux_streams_open")
}

// metric is the value of a series without labels.
func (p *process) metric(name string) float64 {
	_, _, body := p.get("/metrics", "")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return f
		}
	}
	p.t.Fatalf("no metric %s", name)
	return 0
}
