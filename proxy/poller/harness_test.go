package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// memStore is a store in a map that can be made to fail.
type memStore struct {
	mu         sync.Mutex
	entries    map[cache.ID]cache.Entry
	partitions map[cache.ID]cache.PartitionState
	failing    atomic.Bool
	panicking  atomic.Bool
	puts       atomic.Int64
	onGet      func() // called once an entry was read, and before it is returned
	onPut      func() // called before an entry is written
	onLoad     func() // called before a partition is read
}

func newMemStore() *memStore {
	return &memStore{entries: map[cache.ID]cache.Entry{}, partitions: map[cache.ID]cache.PartitionState{}}
}

var errDisk = errors.New("disk full")

func (s *memStore) Get(_ context.Context, key *cache.ID) (*cache.Entry, error) {
	if s.panicking.Load() {
		panic("a panic in the store")
	}
	s.mu.Lock()
	e, ok := s.entries[*key]
	s.mu.Unlock()
	if s.onGet != nil {
		s.onGet()
	}
	if !ok {
		return nil, cache.ErrNotFound
	}
	e.Stored = true
	return &e, nil
}

func (s *memStore) Put(_ context.Context, e *cache.Entry) (*cache.Entry, error) {
	if s.failing.Load() {
		return nil, errDisk
	}
	if s.onPut != nil {
		s.onPut()
	}
	s.puts.Add(1)
	s.PutLater(e)
	return s.Get(context.Background(), &e.Key)
}

func (s *memStore) PutLater(e *cache.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.entries[e.Key]; ok && !old.GivesWayTo(e) {
		return
	}
	s.entries[e.Key] = *e
}

func (s *memStore) Delete(_ context.Context, key *cache.ID, generation uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, *key)
	return generation, nil
}

func (s *memStore) Partition(_ context.Context, id *cache.ID) (cache.PartitionState, error) {
	if s.onLoad != nil {
		s.onLoad()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.partitions[*id]; ok {
		return st, nil
	}
	return cache.PartitionState{}, cache.ErrNotFound
}

func (s *memStore) PutPartition(id *cache.ID, st cache.PartitionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partitions[*id] = st
}

func (s *memStore) Healthy() error { return nil }
func (s *memStore) Close() error   { return nil }

// script answers status requests in place of an upstream.
type script struct {
	polls  atomic.Int64
	answer func(n int64, req *http.Request) (*http.Response, error)
}

func (s *script) RoundTrip(_ *cache.ID, req *http.Request) (*http.Response, error) {
	return s.answer(s.polls.Add(1), req)
}
func (s *script) Close() {}

func reply(code int, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body)))}, nil
}

// always answers every poll the same way.
func always(code int, body string, header ...string) func(int64, *http.Request) (*http.Response, error) {
	return func(int64, *http.Request) (*http.Response, error) { return reply(code, body, header...) }
}

// inTurn answers the n-th poll with the n-th body, and the last one from then on.
func inTurn(bodies ...string) func(int64, *http.Request) (*http.Response, error) {
	return func(n int64, _ *http.Request) (*http.Response, error) {
		return reply(200, bodies[min(int(n), len(bodies))-1])
	}
}

// bench is a Poller over two scripted upstreams, seen from one of them.
type bench struct {
	*Poller
	*script
	t     testing.TB
	store *memStore
	name  string
	other *script
}

// otherName is the upstream beside the one under test: a vessl whose tasks run.
const otherName = "other"

// beside is the bench as seen from the other upstream.
func (b *bench) beside() *bench {
	c := *b
	c.script, c.other, c.name = b.other, b.script, otherName
	return &c
}

// newBench starts a Poller with an upstream named like its provider, and another
// one beside it. Config changes of the first go into tweak. Everything ends with
// the test.
func newBench(t testing.TB, provider string, answer func(int64, *http.Request) (*http.Response, error), tweak ...func(*upstream.Config)) *bench {
	return newBenchOver(t, newMemStore(), provider, answer, tweak...)
}

func newBenchOver(t testing.TB, store *memStore, provider string, answer func(int64, *http.Request) (*http.Response, error), tweak ...func(*upstream.Config)) *bench {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return newBenchOfSet(t, set, store, provider, answer, tweak...)
}

func newBenchOfSet(t testing.TB, set *providers.Set, store *memStore, provider string, answer func(int64, *http.Request) (*http.Response, error), tweak ...func(*upstream.Config)) *bench {
	t.Helper()
	cfg := upstream.DefaultConfig()
	cfg.Provider, cfg.BaseURL = provider, "http://upstream.test"
	for _, f := range tweak {
		f(&cfg)
	}
	secret, err := cache.NewSecret([]byte("a secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := cache.NewMemory(cache.Config{MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	second := upstream.DefaultConfig()
	second.Provider, second.BaseURL = "vessl", "http://other.test"
	p, err := New(Config{Upstreams: map[string]upstream.Config{provider: cfg, otherName: second}}, set, store, memory, secret,
		prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Poller: p, script: &script{answer: answer}, t: t, store: store, name: provider, other: &script{answer: always(200, vesslRunning)}}
	b.up().Transport = b.script
	b.beside().up().Transport = b.other
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		p.Close()
		memory.Close()
	})
	return b
}

func (b *bench) up() *upstream.Upstream { return b.Upstream([]byte(b.name)) }

// reload changes the configuration of the upstream.
func (b *bench) reload(change func(*upstream.Config)) {
	b.t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		b.t.Fatal(err)
	}
	cfg := b.up().Config
	change(&cfg)
	built, use, err := b.Prepare(Config{Upstreams: map[string]upstream.Config{b.name: cfg, otherName: b.beside().up().Config}}, set)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, u := range built {
		u.Transport = map[string]*script{b.name: b.script, otherName: b.other}[u.Name]
	}
	use()
}

// request is a poll of the task by the holder of a credential.
func (b *bench) request(credential string, ref string) Request {
	b.t.Helper()
	u := b.up()
	r, err := u.Parser.ParseString(ref)
	if err != nil {
		b.t.Fatalf("reference %q: %v", ref, err)
	}
	var part, key cache.ID
	h := b.secret.Hash("partition")
	h.PartString(u.Name)
	h.PartString(credential)
	h.Sum(&part)
	h = b.secret.Hash("key")
	h.Part(part[:])
	for _, v := range r.Values {
		h.PartString(v)
	}
	h.Sum(&key)
	return Request{Upstream: u, Partition: b.Partition(u, &part), Key: key, Reference: r,
		Credential: providers.Credential{Headers: []providers.Field{{Name: "Authorization", Value: "Bearer " + credential}}}}
}

// poll polls the task once.
func (b *bench) poll(credential, ref string) Answer {
	b.t.Helper()
	return b.Poll(context.Background(), b.request(credential, ref))
}

// later waits until a poll that failed may be repeated.
func (b *bench) later() { time.Sleep(b.up().Provider.Poll.Min) }

// said is what an answer comes to in one line: code, status and Cache-Status.
func said(a Answer) string {
	cs := string(a.Cache.Append(nil))
	if a.Problem != nil {
		return fmt.Sprintf("%d %s; %s", a.Problem.Status, a.Problem.Type, cs)
	}
	return fmt.Sprintf("200 %s; %s", a.Entry.Status, cs)
}

func (b *bench) want(a Answer, want string) {
	b.t.Helper()
	if got := said(a); got != want {
		detail := ""
		if a.Problem != nil {
			detail = a.Problem.Detail
		}
		b.t.Errorf("answer is\n\t%s, want\n\t%s\n\t%s", got, want, detail)
	}
}

// entry is the entry of an answer that must have one.
func (b *bench) entry(a Answer) *cache.Entry {
	b.t.Helper()
	if a.Entry == nil {
		b.t.Fatalf("no entry: %s: %s", said(a), a.Problem.Detail)
	}
	return a.Entry
}

func (b *bench) wantPolls(want int64) {
	b.t.Helper()
	if got := b.polls.Load(); got != want {
		b.t.Errorf("upstream saw %d polls, want %d", got, want)
	}
}

const (
	vesslPending = `{"status":"pending"}`
	vesslRunning = `{"status":"in_progress"}`
	vesslDone    = `{"status":"completed","status_code":200,"raw_output":"{\"a\":1}","output":{"a":1}}`
	vesslFailed  = `{"status":"failed","fail_reason":"no replica"}`
)

func shannonBody(status, extra string) string {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	return `{"task_id":"task_1","workflow_id":"task_1","status":"TASK_STATUS_` + status + `","created_at":"` + now + `","updated_at":"` + now + `"` + extra + `}`
}

func orqBody(status string) string {
	return `{"_id":"r1","task_id":"t1","output":[],"created_at":"2026-11-20T10:00:00.000Z","model":"openai/gpt-4o","status":"` + status + `"}`
}
