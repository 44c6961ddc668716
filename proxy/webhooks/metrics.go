package webhooks

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the series of webhooks. None has a URL or an id.
type metrics struct {
	delivered, failed, gone, gaveUp, panics prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, w *Service) *metrics {
	auto := promauto.With(reg)
	gauge := func(name, help string, of func() int) {
		auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			w.mu.RLock()
			defer w.mu.RUnlock()
			return float64(of())
		})
	}
	gauge("pollux_webhooks", "Webhooks that are registered.", func() int { return len(w.byID) })
	gauge("pollux_webhook_tasks", "Tasks that webhooks follow and that have not ended.", func() int { return w.open })
	gauge("pollux_webhook_waiting", "Deliveries that wait for their next attempt.", func() int { return w.queue.waiting })
	attempts := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "pollux_webhook_attempts_total", Help: "Requests to receivers of webhooks, by outcome."}, []string{"outcome"})
	return &metrics{
		delivered: attempts.WithLabelValues("delivered"),
		failed:    attempts.WithLabelValues("failed"),
		gone:      attempts.WithLabelValues("gone"),
		gaveUp: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_webhook_gave_up_total", Help: "Deliveries that were given up."}),
		panics: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_webhook_panics_total", Help: "Panics caught in webhooks."}),
	}
}

func (m *metrics) attempted(a answer) {
	switch {
	case a.ok:
		m.delivered.Inc()
	case a.gone:
		m.gone.Inc()
	default:
		m.failed.Inc()
	}
}
