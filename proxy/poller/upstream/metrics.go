package upstream

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/providers"
	"pollux/proxy/poller/oauth"
	"pollux/proxy/problem"
)

// Metrics are the series of upstreams. Labels are bounded: upstreams come from
// the config, everything else from fixed sets.
type Metrics struct {
	polls         *prometheus.CounterVec // client polls by upstream and result
	upstreamPolls *prometheus.CounterVec // by upstream and outcome
	seconds       *prometheus.HistogramVec
	breakerState  *prometheus.GaugeVec
	regressions   *prometheus.CounterVec
	unknownWords  *prometheus.CounterVec
	forwarded     *prometheus.CounterVec
	notModified   *prometheus.CounterVec
	avoided       *prometheus.CounterVec
	mixups        *prometheus.CounterVec
	tokens        *prometheus.CounterVec

	byUpstream map[string]Series // guarded by Poller.reloading: counts go on over reloads
}

func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &Metrics{
		byUpstream: map[string]Series{},

		polls:         counter("pollux_polls_total", "Client polls by how they were answered.", "upstream", "result"),
		upstreamPolls: counter("pollux_upstream_polls_total", "Status requests made to upstreams by what came of them.", "upstream", "outcome"),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pollux_upstream_poll_seconds", Help: "How long upstreams took to answer status requests.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12), NativeHistogramBucketFactor: 1.1,
		}, []string{"upstream"}),
		breakerState: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pollux_breaker_state", Help: "State of the upstream's circuit breaker: 0 closed, 1 half-open, 2 open.",
		}, []string{"upstream"}),
		regressions:  counter("pollux_regressions_total", "Answers dropped because they contradict a terminal document.", "upstream"),
		unknownWords: counter("pollux_unknown_status_total", "Answers with a native status word that the provider file does not list.", "upstream"),
		forwarded:    counter("pollux_forwarded_total", "Requests passed on to upstreams, by class of the answer's code.", "upstream", "code"),
		notModified:  counter("pollux_not_modified_total", "Client polls answered with 304 without asking the upstream.", "upstream"),
		avoided:      counter("pollux_rate_limits_avoided_total", "Client polls answered without a status request that the upstream's pause or a budget forbade.", "upstream"),
		mixups:       counter("pollux_upstream_mixups_total", "Connections to upstreams closed because of bytes that nobody had asked for, or of an answer that named another task.", "upstream", "kind"),
		tokens:       counter("pollux_token_requests_total", "Requests for access tokens of upstreams with credential.oauth2, by outcome.", "upstream", "outcome"),
	}
}

// Series are one upstream's handles, resolved once.
type Series struct {
	Hits, misses, collapsed, refused *tally
	stale, staleIfError              *tally // without asking; asked in vain
	notModified, avoided             *tally
	outcomes                         map[providers.Kind]*tally
	unreachable, timeouts            *tally
	seconds                          prometheus.Observer
	breaker                          prometheus.Gauge
	Regressions, UnknownWords        prometheus.Counter
	unasked, foreign                 prometheus.Counter // answers, or parts of some, that were nobody's
	tokens                           func(oauth.Outcome)
	forwardMetrics
}

// tally is a counter that can be read.
type tally struct {
	prometheus.Counter
	n atomic.Int64
}

func counted(of *prometheus.CounterVec, labels ...string) *tally {
	return &tally{Counter: of.WithLabelValues(labels...)}
}

// Inc counts one.
func (t *tally) Inc() {
	t.Counter.Inc()
	t.n.Add(1)
}

func (t *tally) value() int64 { return t.n.Load() }

var outcomeNames = map[providers.Kind]string{
	providers.Answered: "answered", providers.Rejected: "rejected", providers.Unauthorized: "unauthorized",
	providers.Forbidden: "forbidden", providers.NotFound: "not_found", providers.RateLimited: "rate_limited",
	providers.BadAnswer: "bad_answer", providers.TooSlow: "timeout",
}

func (m *Metrics) upstream(name string) Series {
	if known, ok := m.byUpstream[name]; ok {
		return known
	}
	u := Series{
		Hits: counted(m.polls, name, "hit"), misses: counted(m.polls, name, "miss"),
		collapsed: counted(m.polls, name, "collapsed"), stale: counted(m.polls, name, "stale"),
		staleIfError: counted(m.polls, name, "stale-if-error"), notModified: counted(m.notModified, name), avoided: counted(m.avoided, name),
		refused:     counted(m.polls, name, "problem"),
		outcomes:    map[providers.Kind]*tally{},
		unreachable: counted(m.upstreamPolls, name, "unreachable"),
		timeouts:    counted(m.upstreamPolls, name, "timeout"),
		seconds:     m.seconds.WithLabelValues(name), breaker: m.breakerState.WithLabelValues(name),
		Regressions: m.regressions.WithLabelValues(name), UnknownWords: m.unknownWords.WithLabelValues(name),
		unasked: m.mixups.WithLabelValues(name, "unasked"), foreign: m.mixups.WithLabelValues(name, "another_task"),
		tokens:         func(o oauth.Outcome) { m.tokens.WithLabelValues(name, string(o)).Inc() },
		forwardMetrics: newForwardMetrics(m.forwarded, name),
	}
	for kind, outcome := range outcomeNames {
		u.outcomes[kind] = counted(m.upstreamPolls, name, outcome)
	}
	m.byUpstream[name] = u
	return u
}

func (u Series) judged(v providers.Verdict) {
	u.outcomes[v.Kind].Inc()
	if v.Foreign {
		u.foreign.Inc()
	}
}

func (u Series) failed(err error) {
	var fetch *FetchError
	if errors.As(err, &fetch) && fetch.Timeout {
		u.timeouts.Inc()
		return
	}
	u.unreachable.Inc()
}

func (u Series) breakerChanged(state string) {
	u.breaker.Set(map[string]float64{"closed": 0, "half-open": 1, "open": 2}[state])
}

// Count notes how a client's poll that memory could not answer ended: whether
// the upstream was asked for it, by this very poll, and whether it came to a
// problem.
func (u Series) Count(how problem.CacheStatus, forwarded, led, refused bool) {
	if !forwarded && how.Detail == problem.DetailRateLimited {
		u.avoided.Inc()
	}
	switch {
	case forwarded && !led:
		u.collapsed.Inc()
	case refused:
		u.refused.Inc()
	case !forwarded && how.Detail != problem.DetailBreakerOpen && how.Detail != problem.DetailRateLimited && how.Detail != problem.DetailOverloaded:
		u.Hits.Inc()
	case how.Detail == problem.NoDetail || how.Detail == problem.DetailNotStored:
		u.misses.Inc()
	case forwarded:
		u.staleIfError.Inc()
	default:
		u.stale.Inc()
	}
}
