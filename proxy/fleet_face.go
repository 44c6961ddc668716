package proxy

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/proxy/poller"
)

// fleetEngine is what this face needs of a *poller.Poller.
type fleetEngine interface {
	Known(key *cache.ID) *cache.Entry
	Stuck(r *cache.Row, now time.Time) bool
	StuckCounts(sight *cache.Sight, now time.Time) map[string]int
	Allowance(u *poller.Upstream, sight *cache.Sight, now time.Time) (left int, paused time.Duration)
	History() []map[string]poller.Point
}

// fleetService serves what is about many tasks: lists, counts, upstreams, and
// the dashboard that shows them. Its methods are safe for concurrent use.
type fleetService struct {
	engine  fleetEngine
	index   cache.Index
	feed    feed
	life    *life
	streams *gate
	secret  *cache.Secret
	log     *slog.Logger
	limit   loginLimit
	logins  *prometheus.CounterVec
}

// newFleetService returns what lists the tasks of index. It has to be told of
// changes, see [poller.Observer].
func newFleetService(engine fleetEngine, index cache.Index, l *life, streams *gate, secret *cache.Secret, reg prometheus.Registerer, log *slog.Logger) (*fleetService, error) {
	s := &fleetService{engine: engine, index: index, life: l, streams: streams, secret: secret, log: log,
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_logins_total", Help: "Attempts to log in at the dashboard, by result."}, []string{"result"})}
	if err := reg.Register(s.logins); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	for _, result := range []string{loginAccepted, loginRefused, loginLimited} {
		s.logins.WithLabelValues(result)
	}
	return s, nil
}

// Observer is told what becomes known of tasks, for the streams of lists.
func (s *fleetService) Observer() poller.Observer { return &s.feed }
