package stuck

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// life teaches a task that was queued, ran for so long, and ended.
func life(tr *Tracker, n byte, group string, ran time.Duration, start time.Time, ended bool) cache.ID {
	e := &cache.Entry{Key: cache.ID{n, 1}, Partition: cache.ID{9}, Upstream: "one", Model: group, FirstSeen: start, Submitted: true}
	publish := func(status string, at time.Time, terminal bool) {
		next := *e
		next.Status, next.Terminal, next.ObservedAt, next.UpdatedAt = status, terminal, at, at
		next.History = append(next.History[:len(next.History):len(next.History)], cache.Change{Status: status, At: at})
		tr.Learn(e, &next)
		e = &next
	}
	publish("queued", start, false)
	publish("in_progress", start.Add(time.Second), false)
	same := *e
	same.ObservedAt = start.Add(2 * time.Second)
	tr.Learn(e, &same) // only older: teaches nothing
	if ended {
		publish("completed", start.Add(time.Second+ran), true)
	}
	return e.Key
}

func newUpstream(t *testing.T) *upstream.Upstream {
	t.Helper()
	cfg := upstream.DefaultConfig()
	cfg.Provider, cfg.BaseURL = "shannon", "http://upstream.test"
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	u, err := upstream.New(&upstream.Host{Base: t.Context(), Metrics: upstream.NewMetrics(prometheus.NewRegistry())}, "one", cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func TestStuck(t *testing.T) {
	start := time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
	const enough = 20 // samples, to know how long a status takes
	u := newUpstream(t)
	tr := New(cache.None{}, func(name string) *upstream.Upstream {
		if name == "one" {
			return u
		}
		return nil
	})
	for n := range enough - 1 {
		life(tr, byte(n), "m", 10*time.Second, start, true)
	}
	slow := life(tr, 100, "m", 0, start, false)
	other := life(tr, 101, "another model", 0, start, false)
	count := func(at time.Time) int { return tr.count(at)[cache.ID{9}].n }
	if n := count(start.Add(time.Hour)); n != 0 {
		t.Errorf("%d stuck with %d samples", n, enough-1)
	}
	life(tr, 50, "m", 10*time.Second, start, true)
	patience := 10*time.Second + u.Config.Freshness.InProgress
	if n := count(start.Add(time.Second + patience)); n != 0 {
		t.Errorf("%d stuck although others needed as long", n)
	}
	if n := count(start.Add(3*time.Second + patience)); n != 1 {
		t.Errorf("%d stuck, want 1: not the one of %v, of which nothing is known", n, other)
	}
	tr.Forget(&slow)
	if n := count(start.Add(time.Hour)); n != 0 {
		t.Errorf("%d stuck after the task was forgotten", n)
	}
	if q := u.Durations(); q.Samples != enough || q.P50 != 11*time.Second {
		t.Errorf("durations: %+v, want the whole of %d lives", q, enough)
	}
	unknown := &cache.Entry{Key: cache.ID{200}, Partition: cache.ID{9}, Upstream: "one", Status: "unknown", FirstSeen: start, ObservedAt: start,
		History: []cache.Change{{Status: "unknown", At: start}}}
	tr.Learn(nil, unknown)
	for after, want := range map[time.Duration]int{2 * time.Hour: 1, 10 * time.Minute: 0} { // apart by more than a count is good for
		if n := count(start.Add(after)); n != want {
			t.Errorf("%d stuck after %v, want %d: the unknown one", n, after, want)
		}
	}
	if counts := tr.index.Counts(&cache.Sight{All: true}); counts["one"]["completed"] != enough || counts["one"]["unknown"] != 1 {
		t.Errorf("the index counts %v", counts)
	}
}

// TestElsewhere: a task that another process follows to its end is not taken for
// one that runs for ever.
func TestElsewhere(t *testing.T) {
	u := newUpstream(t)
	tr := New(cache.None{}, func(string) *upstream.Upstream { return u })
	at := time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
	running := func(n byte) *cache.Entry {
		return &cache.Entry{Key: cache.ID{n}, Partition: cache.ID{9}, Upstream: "one", Status: "in_progress", FirstSeen: at, ObservedAt: at}
	}
	for n := range byte(3) {
		tr.Heard(running(n))
	}
	ended := running(0)
	ended.Status, ended.Terminal = "completed", true
	tr.Heard(ended)
	tr.Leave(&cache.ID{1})
	if _, ok := tr.running[cache.ID{2}]; !ok || len(tr.running) != 1 {
		t.Errorf("running: %v, want the task of which nobody else has news", tr.running)
	}
}

// sharedStore is a store whose rows other processes write too.
type sharedStore struct {
	cache.Cluster
	index *cache.MemoryIndex
}

func (s sharedStore) List(ctx context.Context, q *cache.Query) ([]cache.Row, *cache.Position, error) {
	return s.index.List(ctx, q)
}
func (s sharedStore) Counts(sight *cache.Sight) cache.Counts { return s.index.Counts(sight) }
func (s sharedStore) CountsSince(ctx context.Context, sight *cache.Sight, since time.Time) (cache.Counts, error) {
	return s.index.CountsSince(ctx, sight, since)
}

// TestEndedElsewhere: how long tasks took is learned once from each, whoever saw
// it end, before the start and after.
func TestEndedElsewhere(t *testing.T) {
	u, now := newUpstream(t), time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
	store := sharedStore{index: cache.NewMemoryIndex()}
	tr := New(store, func(string) *upstream.Upstream { return u })
	put := func(n byte, ended time.Time) (known, e *cache.Entry) {
		e = &cache.Entry{Key: cache.ID{n}, Partition: cache.ID{9}, Upstream: "one", Status: "completed", Terminal: true,
			FirstSeen: ended.Add(-time.Minute), ObservedAt: ended, UpdatedAt: ended,
			History: []cache.Change{{Status: "in_progress", At: ended.Add(-time.Minute)}, {Status: "completed", At: ended}}}
		before := *e
		before.Status, before.Terminal, before.History = "in_progress", false, e.History[:1]
		store.index.Put(e)
		return &before, e
	}
	learned := func(when string, want int) {
		t.Helper()
		if got := u.Durations().Samples; got != want {
			t.Errorf("%s: %d durations, want %d", when, got, want)
		}
	}
	put(1, now.Add(-time.Hour))
	put(2, now.Add(-time.Second))
	if err := tr.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	learned("at the start", 2)
	put(3, now.Add(time.Second))
	tr.Learn(put(4, now.Add(2*time.Second))) // which this process sees itself
	learned("one of its own", 3)
	for i := range 10 {
		if err := tr.Elsewhere(t.Context(), now.Add(time.Duration(i+1)*ElsewhereEvery)); err != nil {
			t.Fatal(err)
		}
		learned("one of another process", 4)
	}
	if len(tr.ended) != 0 {
		t.Errorf("%d tasks that ended long ago are kept", len(tr.ended))
	}
}
