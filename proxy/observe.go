package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the face's. Labels come from our own tables only: routes, codes
// of answers and reasons of refusals.
type metrics struct {
	requests           *prometheus.CounterVec
	seconds            []prometheus.Observer // by endpoint
	rejected           *prometheus.CounterVec
	panics             prometheus.Counter
	connections        prometheus.Gauge
	connectionsRefused prometheus.Counter
	acceptErrors       prometheus.Counter
	serverErrors       prometheus.Counter
	logins             *prometheus.CounterVec

	names    []string                        // by endpoint
	counters [][1000]atomic.Pointer[counter] // by endpoint and code, made when first needed
}

type counter struct{ prometheus.Counter }

func newMetrics(reg prometheus.Registerer, endpoints []*endpoint) (*metrics, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pollux_request_seconds", Help: "Time to answer a request, without sending the answer.",
		Buckets: []float64{.00001, .00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 60},
	}, []string{"route"})
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_requests_total", Help: "Requests answered, by route and status code."}, []string{"route", "code"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_rejected_requests_total", Help: "Requests refused before they were routed, by reason."}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_panics_total", Help: "Panics caught while serving a request."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_connections_open", Help: "Connections from clients."}),
		connectionsRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_connections_refused_total", Help: "Connections closed because of limits.connections or limits.connections_per_ip."}),
		acceptErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_accept_errors_total", Help: "Failures to accept a connection that were waited out, such as a lack of descriptors."}),
		serverErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pollux_connection_errors_total", Help: "Connections that ended with an error."}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_logins_total", Help: "Attempts to log in at the dashboard, by result."}, []string{"result"}),
		counters: make([][1000]atomic.Pointer[counter], len(endpoints)),
	}
	for _, e := range endpoints {
		m.names = append(m.names, e.name)
		m.seconds = append(m.seconds, seconds.WithLabelValues(e.name))
	}
	for _, c := range []prometheus.Collector{m.requests, seconds, m.rejected, m.panics,
		m.connections, m.connectionsRefused, m.acceptErrors, m.serverErrors, m.logins} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, result := range []string{loginAccepted, loginRefused, loginLimited} {
		m.logins.WithLabelValues(result)
	}
	return m, nil
}

// answered counts one answer. It allocates only for the first of its kind.
func (m *metrics) answered(endpoint, code int, took time.Duration) {
	slot := &m.counters[endpoint][code%1000]
	c := slot.Load()
	if c == nil {
		c = &counter{m.requests.WithLabelValues(m.names[endpoint], strconv.Itoa(code))}
		slot.Store(c)
	}
	c.Inc()
	m.seconds[endpoint].Observe(took.Seconds())
}

// Printf takes the place of fasthttp's logger. Its texts quote what clients
// sent, credentials included, so they are counted and dropped.
func (m *metrics) Printf(string, ...any) { m.serverErrors.Inc() }

// record counts an exchange and, at level debug, logs it. Paths and queries
// name tasks and may hold credentials, so only the route is named.
func (s *Server) record(x *exchange) {
	code := x.ctx.Response.StatusCode()
	took := time.Since(x.started)
	s.metrics.answered(x.endpoint.index, code, took)
	if x.reason != "" {
		s.metrics.rejected.WithLabelValues(x.reason).Inc()
	}
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	method := "other"
	if knownMethod(x.ctx.Method()) {
		method = string(x.ctx.Method())
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.requestID()), slog.String("method", method), slog.String("route", x.endpoint.name),
		slog.Int("code", code), slog.Duration("took", took),
	}
	if cache := x.ctx.Response.Header.PeekBytes(headerCacheStatus); len(cache) > 0 {
		attrs = append(attrs, slog.String("cache", string(cache)))
	}
	if id, _, ok := parseTraceparent(&x.ctx.Request.Header); ok {
		attrs = append(attrs, slog.String("trace_id", string(id)))
	}
	if x.reason != "" {
		attrs = append(attrs, slog.String("refused", x.reason))
	}
	s.log.LogAttrs(context.Background(), slog.LevelDebug, "request", attrs...)
}

// panicked notes a panic: what it said if it is the runtime's or ours, and
// where it was, without arguments.
func (s *Server) panicked(v any) {
	s.metrics.panics.Inc()
	said := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case runtime.Error:
		said = v.Error()
	case string:
		if strings.HasPrefix(v, "BUG:") {
			said = v
		}
	}
	s.log.Error("panic while serving a request", "panic", said, "stack", stack())
}

func stack() []string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var lines []string
	for {
		frame, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if !more {
			return lines
		}
	}
}
