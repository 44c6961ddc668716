package proxy

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// registerGauges registers what is counted at the moment of asking.
func (s *Server) registerGauges(reg prometheus.Registerer) error {
	for _, g := range []struct {
		name, help string
		of         func() float64
	}{
		{"pollux_streams_open", "Event streams open, of tasks and of lists.", s.streams.Inside},
		{"pollux_waits_open", "Requests that wait for a change.", s.waits.Inside},
		{"pollux_followed_tasks", "Tasks with somebody who waits for them or streams them.", func() float64 { return float64(s.hub.Topics()) }},
	} {
		if err := reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, g.of)); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
