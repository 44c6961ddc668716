// Package fleet serves what is about many tasks: lists, counts, the state of
// upstreams, and the dashboard that shows them.
package fleet

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/cache"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/poller/stuck"
	"pollux/proxy/poller/trend"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// Engine is what this face needs of a *poller.Poller.
type Engine interface {
	Known(key *cache.ID) *cache.Entry
	Stuck() *stuck.Tracker
	Trends() *trend.Keeper
	Allowance(u *upstream.Upstream, sight *cache.Sight, now time.Time) (left int, paused time.Duration)
	Sharing() poller.Sharing
}

// Service serves what is about many tasks: lists, counts, upstreams, and
// the dashboard that shows them. Its methods are safe for concurrent use.
type Service struct {
	engine  Engine
	index   cache.Index
	feed    feed
	life    *wire.Life
	streams *follow.Gate
	secret  *cache.Secret
	log     *slog.Logger
	limit   loginLimit
	logins  *prometheus.CounterVec
	about   *About // nil if there is nothing to say
}

// New returns what lists the tasks of index. It has to be told of
// changes, see [poller.Observer].
func New(engine Engine, index cache.Index, l *wire.Life, streams *follow.Gate, secret *cache.Secret, reg prometheus.Registerer, log *slog.Logger) *Service {
	s := &Service{engine: engine, index: index, life: l, streams: streams, secret: secret, log: log,
		logins: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_logins_total", Help: "Attempts to log in at the dashboard, by result."}, []string{"result"})}
	for _, result := range []string{loginAccepted, loginRefused, loginLimited} {
		s.logins.WithLabelValues(result)
	}
	return s
}

// Observer is told what becomes known of tasks, for the streams of lists.
func (s *Service) Observer() poller.Observer { return &s.feed }
