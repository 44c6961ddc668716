package wire

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count connections.
type Metrics struct {
	connections  prometheus.Gauge
	refused      prometheus.Counter
	acceptErrors prometheus.Counter
}

func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_connections_open", Help: "Connections from clients."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_connections_refused_total", Help: "Connections closed because of limits.connections or limits.connections_per_ip."}),
		acceptErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_accept_errors_total", Help: "Failures to accept a connection that were waited out, such as a lack of descriptors."}),
	}
	for _, c := range []prometheus.Collector{m.connections, m.refused, m.acceptErrors} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
