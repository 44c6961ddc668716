package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/valyala/fasthttp"

	"pollux/cache/postgres/pgtest"
)

// real starts a database that writes to the disk as one in production does.
func real(b *testing.B) *pgtest.Server {
	b.Helper()
	database, err := pgtest.Start("shared_buffers=256MB")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(database.Close)
	return database
}

// arrangements are replicas on one database, and beside them one process on its
// own store.
var arrangements = []struct {
	name     string
	replicas int
	embedded bool
}{{"embedded store", 1, true}, {"1 replica", 1, false}, {"2 replicas", 2, false}, {"3 replicas", 3, false}}

// BenchmarkReplicasPolls: clients of all replicas poll fifty tasks as fast as they are
// answered. The clients, the upstream, and the database run on the same machine.
func BenchmarkReplicasPolls(b *testing.B) {
	for _, a := range arrangements {
		b.Run(a.name, func(b *testing.B) {
			s := arranged(b, a.replicas, a.embedded)
			const clients, tasks = 12, 50
			for i := range tasks {
				s.all[0].poll(b, fmt.Sprintf("task-%d", i), "a")
			}
			before, cpu, began := s.upstream.total(), s.cpu(b), time.Now()
			b.ResetTimer()
			s.load(b, clients, func(n int) string { return fmt.Sprintf("task-%d", n%tasks) })
			b.StopTimer()
			took := time.Since(began).Seconds()
			b.ReportMetric(float64(b.N)/took, "polls/s")
			b.ReportMetric(float64(s.upstream.total()-before)/took, "upstream-polls/s")
			b.ReportMetric((s.cpu(b)-cpu).Seconds()/took*100, "%cpu-of-Pollux")
		})
	}
}

// BenchmarkReplicasMisses: each poll is of another task, so that the upstream is asked
// and the answer stored.
func BenchmarkReplicasMisses(b *testing.B) {
	for _, a := range arrangements {
		b.Run(a.name, func(b *testing.B) {
			s := arranged(b, a.replicas, a.embedded)
			s.all[0].poll(b, "first", "a")
			cpu, ofDatabase, began := s.cpu(b), s.databaseCPU(b), time.Now()
			b.ResetTimer()
			s.load(b, 12, func(n int) string { return fmt.Sprintf("once-%d", n) })
			b.StopTimer()
			n := float64(b.N)
			b.ReportMetric(n/time.Since(began).Seconds(), "polls/s")
			b.ReportMetric(float64((s.cpu(b)-cpu).Microseconds())/n, "cpu-µs/poll")
			b.ReportMetric(float64((s.databaseCPU(b)-ofDatabase).Microseconds())/n, "database-cpu-µs/poll")
		})
	}
}

// BenchmarkReplicasFollowers: how long after one of two replicas has answered with news
// a follower at the other one has them. Thirty tasks change at different times.
func BenchmarkReplicasFollowers(b *testing.B) {
	s := arranged(b, 2, false)
	const tasks = 30
	var mu sync.Mutex // guards took
	var took []time.Duration
	var following sync.WaitGroup
	per := max(1, (b.N+tasks-1)/tasks)
	for task := range tasks {
		following.Go(func() {
			id := fmt.Sprintf("task-%d", task)
			events := streamOf(b, b.Context(), s.all[0], id, "a")
			<-events
			time.Sleep(rand.N(time.Second))
			for round := range per {
				time.Sleep(1100 * time.Millisecond) // the provider's least interval
				text := fmt.Sprintf("news-%d-", round)
				s.upstream.says(id, "running", text)
				var found time.Time
				eventually(b, func() string {
					if _, body, _ := s.all[1].poll(b, id, "a", "Cache-Control", "no-cache"); !strings.Contains(body, text) {
						return "the other replica does not find " + text
					}
					found = time.Now()
					return ""
				})
				for e := range events {
					if strings.Contains(e.data, text) {
						mu.Lock()
						took = append(took, max(0, e.at.Sub(found)))
						mu.Unlock()
						break
					}
				}
			}
		})
	}
	following.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(len(took)), "samples")
	for _, percent := range []int{50, 99, 100} {
		b.ReportMetric(took[min(len(took)*percent/100, len(took)-1)].Seconds()*1e3, fmt.Sprintf("p%d-ms", percent))
	}
}

func arranged(b *testing.B, replicas int, embedded bool) *replicaSet {
	b.Helper()
	var database *pgtest.Server
	if !embedded {
		database = real(b)
	}
	return newReplicasOn(b, database, replicas, "")
}

// load has so many clients poll b.N times in all, each at one of the replicas.
func (s *replicaSet) load(b *testing.B, clients int, task func(n int) string) {
	b.Helper()
	var next atomic.Int64
	var load sync.WaitGroup
	for c := range clients {
		base := s.all[c%len(s.all)].base
		load.Go(func() {
			client := &fasthttp.HostClient{Addr: strings.TrimPrefix(base, "http://"), MaxIdleConnDuration: 100 * time.Millisecond,
				Dial: func(address string) (net.Conn, error) { return net.Dial("tcp", address) }} // fasthttp's own leave goroutines behind
			request, answer := &fasthttp.Request{}, &fasthttp.Response{}
			request.Header.Set("Authorization", "Bearer a")
			for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
				request.SetRequestURI(base + "/v1/tasks/up/" + task(n))
				if err := client.Do(request, answer); err != nil || answer.StatusCode() != http.StatusOK {
					b.Errorf("poll: %d %s %v", answer.StatusCode(), answer.Body(), err)
					return
				}
			}
		})
	}
	load.Wait()
}

// total is how often the upstream was asked.
func (u *counted) total() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, asked := range u.asked {
		n += len(asked)
	}
	return n
}

// cpu is what the replicas have used of processors so far.
func (s *replicaSet) cpu(b *testing.B) (all time.Duration) {
	for _, r := range s.all {
		all += cpuOf(b, r.process.Process.Pid, false)
	}
	return all
}

// databaseCPU is what the processes of the database have used; 0 without one.
func (s *replicaSet) databaseCPU(b *testing.B) (all time.Duration) {
	if s.database == nil {
		return 0
	}
	for _, pid := range s.database.Processes(b) {
		all += cpuOf(b, pid, true)
	}
	return all
}

// cpuOf is what a process has used of processors, with those of its children that have
// ended.
func cpuOf(b *testing.B, pid int, children bool) time.Duration {
	b.Helper()
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0 // it has ended
	}
	stat, err := process.Stat()
	if err != nil {
		return 0
	}
	used := stat.CPUTime()
	if children {
		used += float64(stat.CUTime+stat.CSTime) / 100 // USER_HZ of Linux
	}
	return time.Duration(used * float64(time.Second))
}
