package proxy

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pollux/proxy/wire"
)

// metrics are the face's. Labels come from our own tables only: routes, codes
// of answers and reasons of refusals.
type metrics struct {
	requests     *prometheus.CounterVec
	seconds      []prometheus.Observer // by endpoint
	rejected     *prometheus.CounterVec
	panics       prometheus.Counter
	listener     *wire.Metrics
	serverErrors prometheus.Counter

	names    []string                        // by endpoint
	counters [][1000]atomic.Pointer[counter] // by endpoint and code, made when first needed
}

type counter struct{ prometheus.Counter }

func newMetrics(reg prometheus.Registerer, endpoints []*endpoint) *metrics {
	auto := promauto.With(reg)
	seconds := auto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pollux_request_seconds", Help: "Time to answer a request, without sending the answer.",
		Buckets: []float64{.00001, .00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 60},
	}, []string{"route"})
	m := &metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_requests_total", Help: "Requests answered, by route and status code."}, []string{"route", "code"}),
		rejected: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "pollux_rejected_requests_total", Help: "Requests refused before they were routed, by reason."}, []string{"reason"}),
		panics: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_panics_total", Help: "Panics caught while serving a request."}),
		serverErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "pollux_connection_errors_total", Help: "Connections that ended with an error."}),
		listener: wire.NewMetrics(reg),
		counters: make([][1000]atomic.Pointer[counter], len(endpoints)),
	}
	for _, e := range endpoints {
		m.names = append(m.names, e.name)
		m.seconds = append(m.seconds, seconds.WithLabelValues(e.name))
	}
	return m
}

// registerGauges registers what is counted at the moment of asking.
func (s *Server) registerGauges(reg prometheus.Registerer) {
	gauge := func(name, help string, of func() float64) {
		promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of)
	}
	gauge("pollux_streams_open", "Event streams open, of tasks and of lists.", s.streams.Inside)
	gauge("pollux_waits_open", "Requests that wait for a change.", s.waits.Inside)
	gauge("pollux_followed_tasks", "Tasks with somebody who waits for them or streams them.", func() float64 { return float64(s.hub.Topics()) })
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
func (s *Server) record(x *serving) {
	code := x.Ctx.Response.StatusCode()
	took := time.Since(x.Started)
	s.metrics.answered(x.endpoint.index, code, took)
	if x.Reason != "" {
		s.metrics.rejected.WithLabelValues(x.Reason).Inc()
	}
	if x.Span != nil {
		endSpan(x, code)
	}
	if !s.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	method := "other"
	if wire.KnownMethod(x.Ctx.Method()) {
		method = string(x.Ctx.Method())
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.RequestID()), slog.String("method", method), slog.String("route", x.endpoint.name),
		slog.Int("code", code), slog.Duration("took", took),
	}
	if cache := x.Ctx.Response.Header.PeekBytes(wire.HeaderCacheStatus); len(cache) > 0 {
		attrs = append(attrs, slog.String("cache", string(cache)))
	}
	if x.Span != nil {
		attrs = append(attrs, slog.String("trace_id", x.Span.TraceID()))
	} else if id, _, ok := wire.ParseTraceparent(&x.Ctx.Request.Header); ok {
		attrs = append(attrs, slog.String("trace_id", string(id)))
	}
	if x.Reason != "" {
		attrs = append(attrs, slog.String("refused", x.Reason))
	}
	s.log.LogAttrs(context.Background(), slog.LevelDebug, "request", attrs...)
}
