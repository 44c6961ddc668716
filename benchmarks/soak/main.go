// Command soak runs a Pollux under load for a long time in as little memory as
// a small container has: a million tasks in its store, then polls, batches, lists and
// streams of others. It fails if the kernel ends the process or a client
// sees anything but an answer. It needs root, for the cgroup.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"pollux/benchmarks/seed"
	"pollux/providers/strictyaml"
)

// provider describes the upstream below. Its tasks never run again.
const provider = `name: soak
identity: {headers: [Authorization], need: none}
params: {id: {in: path}}
poll: {request: "GET /jobs/{id}", min: 1s}
status: {path: state, words: {running: in_progress, done: completed}}
fields: {id: id, output.text: text, progress.percent: percent}
`

// upstream answers every poll: tasks named done-* have ended, all others go on.
func upstream(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/jobs/")
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(id, "done-") {
		fmt.Fprintf(w, `{"id": %q, "state": "done", "text": %q}`, id, strings.Repeat("An answer of some length. ", 20))
		return
	}
	fmt.Fprintf(w, `{"id": %q, "state": "running", "percent": %d}`, id, time.Now().Unix()%100)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lasts := flag.Duration("for", 30*time.Minute, "how `long` the load lasts, once the store is filled")
	tasks := flag.Int("tasks", 1_000_000, "how `many` tasks are in the store")
	asked := flag.Int64("asked", 50_000, "how `many` more clients ask for")
	clients := flag.Int("clients", 16, "how `many` clients poll, each up to 200 times a second")
	streams := flag.Int("streams", 1000, "how `many` event streams are open")
	memory := flag.String("memory", "256MiB", "what the `container` may use")
	program := flag.String("pollux", "bin/pollux", "the `program`")
	filled := flag.String("filled", "", "a `file` that the filled store is kept in, to be copied from when it is there")
	flag.Parse()
	limit, err := strictyaml.ParseBytes(*memory)
	if err == nil {
		err = soak(ctx, *program, *filled, int64(limit), *tasks, *asked, *clients, *streams, *lasts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context, program, filled string, limit int64, tasks int, asked int64, clients, streams int, lasts time.Duration) error {
	dir, err := os.MkdirTemp("", "soak-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	container, err := newCgroup(filepath.Base(dir), limit)
	if err != nil {
		return err
	}
	defer container.remove()
	server := httptest.NewServer(http.HandlerFunc(upstream))
	defer server.Close()
	began := time.Now()
	if err := seed.Copy(ctx, filepath.Join(dir, "pollux.db"), filled, "soak", tasks); err != nil {
		return err
	}
	fmt.Printf("%d tasks are in the store after %s\n", tasks, time.Since(began).Round(time.Second))
	p, err := start(container, program, dir, server.URL)
	if err != nil {
		return err
	}
	defer p.end()

	began = time.Now()
	fmt.Printf("%s of memory, %d tasks and %d more, %d clients, %d streams, %s, %d cores\n\n%8s %9s %9s %8s %8s %9s %7s %9s %6s\n", strictyaml.Bytes(limit), tasks, asked, clients, streams, lasts,
		runtime.NumCPU(), "elapsed", "tasks", "polls", "batches", "lists", "events", "faults", "memory", "kills")
	l := newLoad("http://" + p.address)
	report := func() {
		lists := 0
		for _, k := range l.lists {
			lists += k.count()
		}
		fmt.Printf("%8s %9d %9d %8d %8d %9d %7d %5d MiB %6d\n", time.Since(began).Round(time.Second), l.known.Load(), l.polls.count(),
			l.batches.count(), lists, l.events.Load(), l.faults.Load(), container.anonymous()>>20, container.kills())
	}
	ended := make(chan struct{})
	go func() {
		for every := time.Tick(max(lasts/30, time.Second)); ; {
			select {
			case <-every:
				report()
			case <-ended:
				return
			}
		}
	}()
	l.fill(ctx, asked, 4)
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	if l.known.Load() > 0 {
		l.play(ctx, clients, streams)
	}
	close(ended)
	report()
	fmt.Println()
	for _, k := range append([]*kind{&l.polls, &l.batches}, l.lists...) {
		fmt.Println(k)
	}
	switch {
	case container.kills() != 0:
		return fmt.Errorf("the kernel ended it for want of memory:\n%s", p.log())
	case l.faults.Load() > 0:
		for what, n := range l.faulty {
			fmt.Printf("%d times: %s\n", n, what)
		}
		return fmt.Errorf("clients saw %d faults, %d of them streams that were cut\n%s", l.faults.Load(), l.cut.Load(), p.log())
	case l.known.Load() < asked:
		return fmt.Errorf("interrupted with %d of %d tasks in the store", l.known.Load(), asked)
	}
	fmt.Println("\nno process was ended by the kernel, no client saw a fault")
	return p.end()
}

// process is a Pollux in the container.
type process struct {
	cmd     *exec.Cmd
	address string
	output  string // file
	ended   bool
}

func start(container *cgroup, program, dir, upstreamURL string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	providers := filepath.Join(dir, "providers")
	config := fmt.Sprintf("listen: %s\nprovider_dir: %s\nstore: {path: %s}\nlog: {level: warn}\nlimits: {misses_per_partition: {per_second: 100000, burst: 100000}}\nupstreams:\n  soak: {provider: soak, base_url: %q, max_in_flight: 256}\n",
		address, providers, filepath.Join(dir, "pollux.db"), upstreamURL)
	file := filepath.Join(dir, "config.yaml")
	if err := os.Mkdir(providers, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(providers, "soak.yaml"), []byte(provider), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p := &process{cmd: container.command(program, "serve", "--config", file), address: address, output: filepath.Join(dir, "log")}
	out, err := os.Create(p.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), "POLLUX_STORE_KEY="+seed.Key)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		if answer, err := http.Get("http://" + address + "/readyz"); err == nil {
			answer.Body.Close()
			return p, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	log := p.log()
	_ = p.end()
	return nil, fmt.Errorf("pollux does not start:\n%s", log)
}

// end tells the process to end, and returns how it did.
func (p *process) end() error {
	if p.ended {
		return nil
	}
	p.ended = true
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.cmd.Wait()
}

// log is the end of what it wrote.
func (p *process) log() string {
	text, _ := os.ReadFile(p.output)
	return string(text[max(0, len(text)-4<<10):])
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
