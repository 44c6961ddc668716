package trend

import (
	"testing"
	"time"
)

// TestLine: a line spans its window however long it runs, its polls add up, and
// it begins with fine steps.
func TestLine(t *testing.T) {
	cases := []struct {
		name         string
		window       time.Duration
		steps        int // that were added
		step         time.Duration
		points       int
		spanned      time.Duration // by the points
		alone        int           // steps that are in no point yet
		forgetsPolls bool          // those before the window
	}{
		{"the first step", time.Hour, 1, finest, 1, finest, 0, false},
		{"a young process", 24 * time.Hour, 100, finest, 100, 100 * finest, 0, false},
		{"15 minutes", 15 * time.Minute, 1000, finest, 60, 15 * time.Minute, 0, true},
		{"an hour", time.Hour, 1000, 2 * finest, 120, time.Hour, 0, true},
		{"a day", 24 * time.Hour, 64 * 200, 64 * finest, 90, 24 * time.Hour, 0, true},
		{"a day, half of it passed", 24 * time.Hour, 32 * 90, 32 * finest, 90, 12 * time.Hour, 0, false},
		{"everything, full", 0, 121, 2 * finest, 60, 120 * finest, 1, false},
		{"everything, a week", 0, 7 * 24 * 240, 512 * finest, 78, 78 * 512 * finest, 7*24*240 - 78*512, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			l := &line{window: tc.window, every: 1}
			for i := range tc.steps {
				p := Point{Received: 2, Upstream: 1}
				p.ByStatus[0] = i + 1
				l.add(map[string]Point{"orq": p})
			}
			var received int64
			for i, point := range l.points {
				received += point["orq"].Received
				if last := tc.steps - tc.alone; i == len(l.points)-1 && point["orq"].ByStatus[0] != last {
					t.Errorf("the last point is of step %d, want %d", point["orq"].ByStatus[0], last)
				}
			}
			if l.step() != tc.step || len(l.points) != tc.points || time.Duration(len(l.points))*l.step() != tc.spanned {
				t.Errorf("%d points %s apart, want %d %s apart, over %s", len(l.points), l.step(), tc.points, tc.step, tc.spanned)
			}
			if want := 2 * int64(tc.points) * int64(tc.step/finest); received != want {
				t.Errorf("%d polls in the points, want %d", received, want)
			}
			if sum := received + l.open["orq"].Received; sum != 2*int64(tc.steps) && !tc.forgetsPolls {
				t.Errorf("%d polls, want %d", sum, 2*tc.steps)
			}
		})
	}
}

// TestLineForgetsUpstreams: what a reload took away does not stay.
func TestLineForgetsUpstreams(t *testing.T) {
	l := &line{every: 2}
	l.add(map[string]Point{"orq": {Received: 1}, "gone": {Received: 1}})
	l.add(map[string]Point{"orq": {Received: 1}})
	if p := l.points[0]; len(p) != 1 || p["orq"].Received != 2 {
		t.Errorf("the step is %v, want two polls of orq alone", p)
	}
}
