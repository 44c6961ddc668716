package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what clients do to a Pollux, and what came of it.
type load struct {
	base   string
	client *http.Client
	known  atomic.Int64 // tasks 0 to known-1 have been polled to their end

	polls, batches      kind
	lists               []*kind      // of one query each
	events, faults, cut atomic.Int64 // cut: streams, which are faults too
	mu                  sync.Mutex
	faulty              map[string]int // by what was seen, without what differs from time to time
}

// kind is what became of one kind of request. Its name is the query of a list.
type kind struct {
	name string
	mu   sync.Mutex
	took []time.Duration // of those that were answered
}

func (k *kind) add(took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.took = append(k.took, took)
}

func (k *kind) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.took)
}

// String says how long the answers took.
func (k *kind) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.took) == 0 {
		return k.name + ": none"
	}
	slices.Sort(k.took)
	at := func(q float64) time.Duration {
		return k.took[int(q*float64(len(k.took)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%s: %d, half of them within %v, 99 of 100 within %v, all within %v", k.name, len(k.took), at(0.5), at(0.99), at(1))
}

func newLoad(base string) *load {
	l := &load{base: base, faulty: map[string]int{}, client: &http.Client{
		Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}}
	l.polls.name, l.batches.name = "polls", "batches"
	for _, query := range []string{"?limit=200", "?status=completed&sort=-updated_at", "?upstream=soak&q=done-00", "?terminal=false"} {
		l.lists = append(l.lists, &kind{name: query})
	}
	return l
}

var taskName = regexp.MustCompile(`(done|running)-\d+`)

// failed counts what clients must never see. What ctx ended is none.
func (l *load) failed(ctx context.Context, format string, args ...any) {
	if ctx.Err() != nil {
		return
	}
	l.faults.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faulty[taskName.ReplaceAllString(fmt.Sprintf(format, args...), "$1-*")]++
}

// do sends one request and reads its answer, which has to be a 200.
func (l *load) do(ctx context.Context, method, path, body string, k *kind) {
	r, err := http.NewRequestWithContext(ctx, method, l.base+path, strings.NewReader(body))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	answer, err := l.client.Do(r)
	if err != nil {
		l.failed(ctx, "%s %s: %v", method, path, err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		l.failed(ctx, "%s %s: %d %v %.200s", method, path, answer.StatusCode, err, text)
		return
	}
	k.add(time.Since(began))
}

func task(n int64) string { return fmt.Sprintf("done-%07d", n) }

// fill asks for tasks, in batches, until so many are known.
func (l *load) fill(ctx context.Context, tasks int64, clients int) {
	const size = 250
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for first := next.Add(size) - size; first < tasks && ctx.Err() == nil; first = next.Add(size) - size {
				l.batch(ctx, func(i int64) int64 { return first + i }, min(size, tasks-first))
				l.known.Add(min(size, tasks-first))
			}
		})
	}
	all.Wait()
}

// batch asks for the tasks that pick names.
func (l *load) batch(ctx context.Context, pick func(i int64) int64, size int64) {
	refs := make([]string, size)
	for i := range refs {
		refs[i] = `"soak/` + task(pick(int64(i))) + `"`
	}
	l.do(ctx, http.MethodPost, "/v1/tasks/batch", `{"tasks": [`+strings.Join(refs, ",")+`]}`, &l.batches)
}

// play is the mixture until ctx ends: polls of any known task, batches, lists,
// streams of tasks that go on.
func (l *load) play(ctx context.Context, clients, streams int) {
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				l.do(ctx, http.MethodGet, "/v1/tasks/soak/"+task(rand.Int64N(l.known.Load())), "", &l.polls)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			l.batch(ctx, func(int64) int64 { return rand.Int64N(l.known.Load()) }, 500)
			time.Sleep(250 * time.Millisecond)
		}
	})
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			list := l.lists[i%len(l.lists)]
			l.do(ctx, http.MethodGet, "/v1/tasks"+list.name, "", list)
			time.Sleep(time.Second)
		}
	})
	for n := range streams {
		all.Go(func() { l.stream(ctx, fmt.Sprintf("running-%05d", n)) })
	}
	all.Wait()
}

// stream reads the events of a task that never ends.
func (l *load) stream(ctx context.Context, id string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/v1/tasks/soak/"+id, nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	r.Header.Set("Accept", "text/event-stream")
	answer, err := (&http.Client{Transport: l.client.Transport}).Do(r)
	if err != nil {
		l.failed(ctx, "stream: %v", err)
		return
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "id:") {
			l.events.Add(1)
		}
	}
	if ctx.Err() == nil {
		l.cut.Add(1)
	}
	l.failed(ctx, "stream %s ended: %v", id, lines.Err())
}
