package poller

import (
	"testing"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

func TestSamples(t *testing.T) {
	var s samples
	if d, n := s.quantile(0.5); d != 0 || n != 0 {
		t.Errorf("of nothing: %v, %d", d, n)
	}
	for i := range 1000 {
		s.add(time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 488, 0.5: 743, 0.99: 994, 1: 999} { // of 488 to 999
		if d, n := s.quantile(q); d != want || n != maxSamples {
			t.Errorf("quantile %v = %v of %d, want %v of %d", q, d, n, want, maxSamples)
		}
	}
	var one samples
	one.add(7)
	if d, _ := one.quantile(0.99); d != 7 {
		t.Errorf("of one sample: %v", d)
	}
}

func TestErrorRatio(t *testing.T) {
	var s upstreamStats
	now := time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
	if ratio, last := s.trouble(now); ratio != 0 || last != nil {
		t.Errorf("of nothing: %v, %v", ratio, last)
	}
	for i := range 10 {
		s.fetched(time.Second, true, i < 3, now)
	}
	s.failedWith(&problem.Problem{Type: problem.UpstreamError, UpstreamStatus: 503, Detail: "why"}, now)
	if ratio, last := s.trouble(now.Add(time.Minute)); ratio != 0.3 || last.Status != 503 || last.Detail != "why" {
		t.Errorf("got %v, %+v", ratio, last)
	}
	s.fetched(time.Second, false, true, now.Add(ratioWindow))
	if ratio, _ := s.trouble(now.Add(ratioWindow)); ratio != 1 {
		t.Errorf("old polls still count: %v", ratio)
	}
	if _, n := s.latency.quantile(0.5); n != 10 {
		t.Errorf("%d latencies, want those of answers only", n)
	}
}

// life publishes a task that was queued, ran for so long, and ended.
func life(tr *tracker, n byte, group string, ran time.Duration, start time.Time, ended bool) cache.ID {
	e := &cache.Entry{Key: cache.ID{n, 1}, Partition: cache.ID{9}, Upstream: "one", Model: group, FirstSeen: start, Submitted: true}
	publish := func(status string, at time.Time, terminal bool) {
		next := *e
		next.Status, next.Terminal, next.ObservedAt, next.UpdatedAt = status, terminal, at, at
		next.History = append(next.History[:len(next.History):len(next.History)], cache.Change{Status: status, At: at})
		tr.learn(&next)
		e = &next
	}
	publish("queued", start, false)
	publish("in_progress", start.Add(time.Second), false)
	same := *e
	same.ObservedAt = start.Add(2 * time.Second)
	tr.learn(&same) // only older: teaches nothing
	if ended {
		publish("completed", start.Add(time.Second+ran), true)
	}
	return e.Key
}

func TestStuck(t *testing.T) {
	start := time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)
	cfg := DefaultUpstreamConfig()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{Name: "one", Provider: set.Get("shannon"), Config: cfg, stats: &upstreamStats{}}
	tr := newTracker(cache.None{}, func(name string) *Upstream {
		if name == "one" {
			return u
		}
		return nil
	})
	for n := range stuckSamples - 1 {
		life(tr, byte(n), "m", 10*time.Second, start, true)
	}
	slow := life(tr, 100, "m", 0, start, false)
	other := life(tr, 101, "another model", 0, start, false)
	count := func(at time.Time) int { return tr.count(at)[cache.ID{9}].n }
	if n := count(start.Add(time.Hour)); n != 0 {
		t.Errorf("%d stuck with %d samples", n, stuckSamples-1)
	}
	life(tr, 50, "m", 10*time.Second, start, true)
	patience := 10*time.Second + cfg.Freshness.InProgress
	if n := count(start.Add(time.Second + patience)); n != 0 {
		t.Errorf("%d stuck although others needed as long", n)
	}
	if n := count(start.Add(3*time.Second + patience)); n != 1 {
		t.Errorf("%d stuck, want 1: not the one of %v, of which nothing is known", n, other)
	}
	tr.forget(&slow)
	if n := count(start.Add(time.Hour)); n != 0 {
		t.Errorf("%d stuck after the task was forgotten", n)
	}
	if q := u.Durations(); q.Samples != stuckSamples || q.P50 != 11*time.Second {
		t.Errorf("durations: %+v, want the whole of %d lives", q, stuckSamples)
	}
	unknown := &cache.Entry{Key: cache.ID{200}, Partition: cache.ID{9}, Upstream: "one", Status: "unknown", FirstSeen: start, ObservedAt: start,
		History: []cache.Change{{Status: "unknown", At: start}}}
	tr.learn(unknown)
	for after, want := range map[time.Duration]int{2 * time.Hour: 1, unknownFor: 0} { // apart by more than a count is good for
		if n := count(start.Add(after)); n != want {
			t.Errorf("%d stuck after %v, want %d: the unknown one", n, after, want)
		}
	}
	if counts := tr.index.Counts(&cache.Sight{All: true}); counts["one"]["completed"] != stuckSamples || counts["one"]["unknown"] != 1 {
		t.Errorf("the index counts %v", counts)
	}
}
