package poller

import (
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/proxy/roots"
)

// faults are counted that are Pollux's own.
type faults struct {
	storeErrors *prometheus.CounterVec
	roots       *roots.Roots
}

// leased counts the polls that another process was making meanwhile.
type leased struct {
	total prometheus.Counter
	n     atomic.Int64
}

func (l *leased) init(reg prometheus.Registerer) {
	l.total = promauto.With(reg).NewCounter(prometheus.CounterOpts{
		Name: "pollux_polls_leased_total", Help: "Polls answered by what another replica was asking the upstream for."})
}

func (l *leased) inc() {
	l.total.Inc()
	l.n.Add(1)
}

func newFaults(reg prometheus.Registerer, log *slog.Logger) *faults {
	auto := promauto.With(reg)
	f := &faults{
		storeErrors: auto.NewCounterVec(prometheus.CounterOpts{Name: "pollux_store_errors_total", Help: "Calls of the store that failed."}, []string{"call"}),
		roots:       roots.New(auto.NewCounter(prometheus.CounterOpts{Name: "pollux_poll_panics_total", Help: "Panics caught in polls."}), log),
	}
	for _, call := range []string{"begin", "get", "put", "delete", "list", "partition"} {
		f.storeErrors.WithLabelValues(call) // a series that begins with its first error would hide that error from rate()
	}
	return f
}
