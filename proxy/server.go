package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/webhooks"
)

const (
	// readTimeout bounds one whole request, from its first byte. Whoever drips
	// a request slower than that is cut off.
	readTimeout = 10 * time.Second
	idleTimeout = 60 * time.Second
	// writeTimeout bounds one answer that is not a stream.
	writeTimeout = 15 * time.Second
	// idleWorker is how long the server keeps the goroutine of a connection that
	// ended, for the next one.
	idleWorker = 2 * time.Second
	// requestsPerConnection makes clients connect anew now and then, which
	// spreads them over replicas that were added.
	requestsPerConnection = 100_000
	// defaultBodyLimit holds where an endpoint has none of its own. The server
	// would take 0 for 4 MiB.
	defaultBodyLimit = 64 << 10
	// lameDuck is how long answers say Connection: close before connections
	// are closed, so that clients leave by themselves and no request is lost.
	lameDuck = time.Second
	// spareConcurrency keeps the server's own limit, which answers inside the
	// accept loop, out of reach.
	spareConcurrency = 1 << 20
)

// Server is the HTTP face. Its methods are safe for concurrent use.
type Server struct {
	engine   engine
	secret   *cache.Secret
	gatherer prometheus.Gatherer
	log      *slog.Logger
	metrics  *metrics
	routes   *routes
	fast     *fasthttp.Server

	hub        *follow.Hub
	webhooks   *webhooks.Service // nil until OpenWebhooks
	feed       feed
	waits      gate
	streamGate gate
	streams    sync.WaitGroup // of connections taken over
	logins     loginLimit

	settings atomic.Pointer[settings]
	listener atomic.Pointer[guardedListener]
	draining atomic.Bool
	ending   chan struct{} // closed when waits and streams have to end
	lameDuck time.Duration
	base     context.Context // of every poll; ends with Shutdown
	endPolls context.CancelFunc
}

// New returns a Server that answers from engine, a *poller.Poller, about the
// given upstreams, sorted by name. It starts nothing. The error joins every fault
// of cfg, each a *KeyError.
func New(cfg Config, upstreams []*poller.Upstream, engine engine, secret *cache.Secret, gatherer prometheus.Gatherer, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	st, err := prepare(cfg, upstreams, secret)
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine: engine, secret: secret, gatherer: gatherer, log: log,
		routes: newRoutes(), lameDuck: lameDuck, ending: make(chan struct{}),
		hub: follow.NewHub(), waits: gate{what: "waits_per_partition"}, streamGate: gate{what: "streams_per_partition"},
	}
	engine.Observe(s.hub)
	engine.Observe(&s.feed)
	if s.metrics, err = newMetrics(reg, s.routes.all); err != nil {
		return nil, err
	}
	if err := s.registerGauges(reg); err != nil {
		return nil, err
	}
	s.base, s.endPolls = context.WithCancel(context.Background())
	s.settings.Store(st)
	s.fast = &fasthttp.Server{
		Handler:                      s.handle,
		HeaderReceived:               s.headerReceived,
		ErrorHandler:                 s.unreadable,
		Logger:                       s.metrics,
		SecureErrorLogMessage:        true,
		ReadTimeout:                  readTimeout,
		IdleTimeout:                  idleTimeout,
		WriteTimeout:                 writeTimeout,
		MaxIdleWorkerDuration:        idleWorker,
		ReadBufferSize:               int(cfg.Limits.RequestHeaderBytes),
		MaxRequestBodySize:           defaultBodyLimit,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		Concurrency:                  cfg.Limits.Connections + spareConcurrency,
		MaxRequestsPerConn:           requestsPerConnection,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

// Listen opens the configured address.
func (s *Server) Listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", s.settings.Load().Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

// Serve answers connections of ln until Shutdown is called, and closes ln. It
// may be called once.
func (s *Server) Serve(ln net.Listener) error {
	st := s.settings.Load()
	g := guard(ln, s.metrics, s.log)
	g.limit(st.Limits.Connections, st.Limits.ConnectionsPerIP)
	if !s.listener.CompareAndSwap(nil, g) {
		return errors.New("serve: already called")
	}
	if n, enough := descriptorsFor(st.Limits.Connections); !enough {
		s.log.Warn("the process may open too few files for limits.connections", "fd_limit", n, "connections", st.Limits.Connections)
	}
	s.log.Info("listening", "address", ln.Addr().String())
	return s.fast.Serve(g)
}

// Prepare builds everything that another configuration needs, and changes
// nothing. Whoever calls use puts it in force, for requests to come: those under
// way end with the one they began with. Listen and limits.request_header_bytes
// stay those of New, whatever cfg says. The error is as of New.
func (s *Server) Prepare(cfg Config, upstreams []*poller.Upstream) (use func(), err error) {
	old := s.settings.Load()
	cfg.Listen, cfg.Limits.RequestHeaderBytes = old.Listen, old.Limits.RequestHeaderBytes
	st, err := prepare(cfg, upstreams, s.secret)
	if err != nil {
		return nil, err
	}
	return func() {
		s.settings.Store(st)
		if s.webhooks != nil {
			s.webhooks.Use(st.webhooks)
		}
		if g := s.listener.Load(); g != nil {
			g.limit(st.Limits.Connections, st.Limits.ConnectionsPerIP)
		}
	}, nil
}

// Shutdown ends Serve without losing a request: it fails /readyz, lets every
// answer ask its client to leave, then closes what is idle and waits for the
// rest. When ctx ends first, it returns ctx's error at once, with connections
// still open.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.endPolls()
	if !s.draining.Swap(true) {
		t := time.NewTimer(s.lameDuck)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		close(s.ending)
	}
	if err := s.fast.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("shut down: %w", err)
	}
	return s.streamsEnded(ctx)
}

// streamsEnded waits for the connections that were taken over: the HTTP server
// does not know them any more.
func (s *Server) streamsEnded(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { s.streams.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down: %w", ctx.Err())
	}
}

// handle is the outermost handler. Nothing of ctx survives it.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	x := acquireExchange(ctx, s.settings.Load())
	x.endpoint = s.routes.other
	defer s.finish(x)
	if c, ok := ctx.Conn().(*conn); ok {
		c.lineSeen = false
		defer func() { c.unwritten = true }()
	}
	if r := s.admit(&ctx.Request.Header, x); r != nil {
		x.refuse(r)
		return
	}
	s.dispatch(x)
}

// finish ends every exchange, also one that panicked: fasthttp recovers
// nothing.
func (s *Server) finish(x *exchange) {
	if v := recover(); v != nil {
		s.panicked(v)
		x.ctx.Response.Reset()
		x.refuse(refusePanic)
	}
	if x.hasBody() && !x.bodyRead { // what is left of it would be taken for the next request
		x.hangUp()
	}
	if x.facts.close || s.draining.Load() {
		x.ctx.SetConnectionClose()
	}
	s.record(x)
	x.release()
}

// headerReceived decides about a body before it is read, or 100 Continue sent.
// A request that will be refused has no body as far as fasthttp is concerned:
// the handler answers at once, and the connection is closed.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) (conf fasthttp.RequestConfig) {
	if n := h.ContentLength(); (n == 0 || n == -2) && len(h.Peek("Expect")) == 0 {
		return conf
	}
	x := acquireExchange(nil, s.settings.Load())
	defer x.release()
	if s.admit(h, x) != nil {
		h.SetContentLength(0)
		h.Del("Expect")
		h.SetConnectionClose()
		return conf
	}
	if conf.MaxRequestBodySize = int(x.endpoint.bodyLimit); x.endpoint.every != nil {
		conf.MaxRequestBodySize = 1 // how much is read before the handler is called; it reads the rest as it comes
	}
	return conf
}

// unreadable answers what never became a request. The error's text quotes what
// the client sent, so it goes nowhere.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	r := refuseUnreadable
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		r = refuseHeaderSize
		if c, ok := ctx.Conn().(*conn); ok && !c.lineSeen {
			r = refuseTargetLength
		}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r = refuseBodySize
	case isTimeout(err):
		r = refuseSlow
	}
	ctx.Response.Reset()
	writeProblem(&ctx.Response, &r.Problem, s.settings.Load().publicURL)
	hangUp(ctx)
	s.metrics.rejected.WithLabelValues(r.reason).Inc()
	s.metrics.answered(s.routes.other.index, r.Status, 0)
}
