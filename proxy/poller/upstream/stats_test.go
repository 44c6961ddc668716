package upstream

import (
	"testing"
	"time"

	"pollux/proxy/problem"
)

func TestWindow(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var w window
	at := func(step int) time.Time { return begin.Add(time.Duration(step) * windowStep) }
	const steps = windowSteps + 100
	for i := range steps {
		w.add(at(i), Tally{Received: int64(i)})
		w.add(at(i).Add(windowStep/2), Tally{Received: -1}) // too soon after
	}
	for name, c := range map[string]struct {
		since time.Time
		want  int64
	}{
		"now":                    {at(steps), steps - 1},
		"the latest itself":      {at(steps - 1), steps - 1},
		"just before it":         {at(steps - 1).Add(-1), steps - 2},
		"an hour ago":            {at(steps - 61), steps - 61},
		"the oldest kept":        {at(100), 100},
		"before what is kept":    {at(99), 0},
		"before counting at all": {begin.Add(-time.Hour), 0},
	} {
		if got := w.before(c.since).Received; got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	if len(w.kept) != windowSteps {
		t.Errorf("%d tallies are kept, want %d", len(w.kept), windowSteps)
	}
}

func TestErrorRatio(t *testing.T) {
	var s stats
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
	if _, n := s.latency.Quantile(0.5); n != 10 {
		t.Errorf("%d latencies, want those of answers only", n)
	}
}
