package poller

import "github.com/prometheus/client_golang/prometheus"

// faults are counted that are Pollux's own.
type faults struct {
	storeErrors *prometheus.CounterVec
	panics      prometheus.Counter
}

func newFaults(reg prometheus.Registerer) *faults {
	f := &faults{
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pollux_store_errors_total", Help: "Calls of the store that failed."}, []string{"call"}),
		panics:      prometheus.NewCounter(prometheus.CounterOpts{Name: "pollux_poll_panics_total", Help: "Panics caught in polls."}),
	}
	reg.MustRegister(f.storeErrors, f.panics)
	for _, call := range []string{"begin", "get", "put", "delete", "list", "partition"} {
		f.storeErrors.WithLabelValues(call) // a series that begins with its first error would hide that error from rate()
	}
	return f
}
