package poller

import (
	"time"

	"pollux/cache"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/proxy/poller/upstream"
)

// pressureMetric tells what keeps polls from upstreams, and how many are under
// way. Partitions are counted, never named.
type pressureMetric struct{ p *Poller }

var (
	pausedDesc = prometheus.NewDesc("pollux_paused_credentials",
		"Credentials that the upstream asked to wait (429), and that wait.", []string{"upstream"}, nil)
	spentDesc = prometheus.NewDesc("pollux_budget_spent_credentials",
		"Credentials whose budget (rate) has no poll left at present.", []string{"upstream"}, nil)
	suspendedDesc = prometheus.NewDesc("pollux_suspended_credentials",
		"Credentials that the upstream refused, and that see nothing stored until it takes them again.", []string{"upstream"}, nil)
	inFlightDesc = prometheus.NewDesc("pollux_upstream_polls_in_flight",
		"Status requests under way.", []string{"upstream"}, nil)
	stuckDesc = prometheus.NewDesc("pollux_stuck_tasks",
		"Tasks longer in their status than nearly all of their like.", []string{"upstream"}, nil)
	watchedDesc = prometheus.NewDesc("pollux_watched_tasks",
		"Tasks that Pollux polls by itself, because somebody waits for them.", nil, nil)
)

// Describe implements prometheus.Collector.
func (pressureMetric) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pausedDesc, spentDesc, suspendedDesc, inFlightDesc, stuckDesc, watchedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m pressureMetric) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	now := time.Now()
	stuck := m.p.tracker.Counts(&cache.Sight{All: true}, now)
	for _, u := range m.p.Upstreams() {
		var paused, spent, suspended int64
		budget := u.Config.Rate.Budget()
		m.p.partitions.Each(u.Name, func(part *upstream.Partition) {
			if part.Credential() != part {
				return // counted with what its credential sees that selects nothing
			}
			if part.Paused(now) > 0 {
				paused++
			}
			if budget != nil && part.Tokens(budget, now) < 1 {
				spent++
			}
			if part.Suspended() {
				suspended++
			}
		})
		gauge(pausedDesc, paused, u.Name)
		gauge(spentDesc, spent, u.Name)
		gauge(suspendedDesc, suspended, u.Name)
		gauge(inFlightDesc, u.Polling(), u.Name)
		gauge(stuckDesc, int64(stuck[u.Name]), u.Name)
	}
	gauge(watchedDesc, int64(m.p.Watched()))
}

// Allowance is how much of an upstream's rate budget the partitions in sight
// have left, the worst of them, and how long the longest pause lasts that the
// upstream asked one of them to make. Only partitions that were used since the
// start count. left is -1 without a budget.
func (p *Poller) Allowance(u *upstream.Upstream, sight *cache.Sight, now time.Time) (left int, paused time.Duration) {
	left = -1
	budget := u.Config.Rate.Budget()
	if budget != nil {
		left = budget.Burst
	}
	look := func(part *upstream.Partition) {
		paused = max(paused, part.Paused(now))
		if left >= 0 {
			left = min(left, part.Tokens(budget, now))
		}
	}
	if sight.All {
		p.partitions.Each(u.Name, look)
		return left, paused
	}
	for i := range sight.Partitions {
		if part := p.partitions.Get(&sight.Partitions[i]); part != nil && part.Upstream == u.Name {
			look(part)
		}
	}
	return left, paused
}
