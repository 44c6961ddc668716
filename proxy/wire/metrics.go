package wire

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count connections.
type Metrics struct {
	connections  prometheus.Gauge
	refused      prometheus.Counter
	acceptErrors prometheus.Counter
}

// NewMetrics registers them, once with a registry.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	return &Metrics{
		connections: auto.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_connections_open", Help: "Connections from clients."}),
		refused: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_connections_refused_total", Help: "Connections closed because of limits.connections or limits.connections_per_ip."}),
		acceptErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_accept_errors_total", Help: "Failures to accept a connection that were waited out, such as a lack of descriptors."}),
	}
}
