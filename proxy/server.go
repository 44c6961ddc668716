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
	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/agents"
	"pollux/proxy/fleet"
	"pollux/proxy/follow"
	"pollux/proxy/inbound"
	"pollux/proxy/native"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/roots"
	"pollux/proxy/tasks"
	"pollux/proxy/trace"
	"pollux/proxy/webhooks"
	"pollux/proxy/wire"
)

const (
	// readTimeout bounds one whole request, from its first byte. Whoever drips
	// a request slower than that is cut off.
	readTimeout = 10 * time.Second
	idleTimeout = 60 * time.Second
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
	secret   *cache.Secret
	gatherer prometheus.Gatherer
	log      *slog.Logger
	metrics  *metrics
	routes   *routes
	fast     *fasthttp.Server

	tracer   *trace.Tracer // nil: nothing is traced
	engine   *poller.Poller
	hub      *follow.Hub
	tasks    *tasks.Service
	native   *native.Service
	fleet    *fleet.Service
	agents   *agents.Face
	inbound  *inbound.Face
	hooks    *webhooks.Face
	webhooks *webhooks.Service // nil until OpenWebhooks
	waits    follow.Gate
	streams  follow.Gate

	settings atomic.Pointer[settings]
	listener atomic.Pointer[wire.Listener]
	draining atomic.Bool
	lameDuck time.Duration
	life     *wire.Life
	endPolls context.CancelFunc
}

// New returns a Server that answers from engine about the given upstreams, sorted by name. It starts nothing. The error is every fault
// of cfg, strictyaml.Faults.
func New(cfg Config, upstreams []*upstream.Upstream, engine *poller.Poller, secret *cache.Secret, gatherer prometheus.Gatherer, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	st, err := prepare(cfg, upstreams, engine, secret, log)
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine: engine, secret: secret, gatherer: gatherer, log: log, routes: newRoutes(), lameDuck: lameDuck,
		hub: follow.NewHub(), waits: follow.Gate{What: "waits_per_partition"}, streams: follow.Gate{What: "streams_per_partition"},
	}
	s.metrics = newMetrics(reg, s.routes.all)
	polls, end := context.WithCancel(context.Background())
	s.endPolls = end
	s.life = wire.NewLife(polls, roots.New(s.metrics.panics, log))
	s.tasks = tasks.New(engine, s.hub, s.life, &s.waits, &s.streams, log)
	s.native = native.New(engine, s.life)
	s.inbound = inbound.New(engine, reg)
	s.fleet = fleet.New(engine, engine.Index(), s.life, &s.streams, secret, reg, log)
	s.SetAbout("(devel)")
	s.registerGauges(reg)
	engine.Observe(s.hub)
	engine.Observe(s.fleet.Observer())
	s.settings.Store(st)
	s.fast = &fasthttp.Server{
		Handler:                      s.handle,
		HeaderReceived:               s.headerReceived,
		ConnState:                    connState,
		ErrorHandler:                 s.unreadable,
		Logger:                       s.metrics,
		SecureErrorLogMessage:        true,
		ReadTimeout:                  readTimeout,
		IdleTimeout:                  idleTimeout,
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

// SetAbout says what the dashboard and agents are told of this Pollux: its version,
// and credentials that simulated upstreams take. It must be called before anything is
// served.
func (s *Server) SetAbout(version string, samples ...string) {
	s.fleet.SetAbout(&fleet.About{Version: version, Samples: samples})
	s.agents = agents.NewFace(agents.New(version), s.life, s.openDesk)
}

// Trace has requests traced, but those that ask whether Pollux is well. It must be
// called before anything is served.
func (s *Server) Trace(t *trace.Tracer) { s.tracer = t }

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
	g := wire.Guard(ln, s.metrics.listener, s.log)
	g.Limit(st.Limits.Connections, st.Limits.ConnectionsPerIP)
	g.Use(st.door)
	if !s.listener.CompareAndSwap(nil, g) {
		return errors.New("serve: already called")
	}
	if limit, wanted := wire.DescriptorsFor(st.Limits.Connections); limit < wanted {
		s.log.Warn("the process may open too few files for limits.connections: raise the limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of containers), or lower limits.connections",
			"fd_limit", limit, "fd_wanted", wanted)
	}
	s.log.Info("listening", "address", ln.Addr().String())
	return s.fast.Serve(g)
}

// Prepare builds everything that another configuration needs, and changes
// nothing. Whoever calls use puts it in force, for requests to come: those under
// way end with the one they began with. Listen and limits.request_header_bytes
// stay those of New, whatever cfg says. The error is as of New.
func (s *Server) Prepare(cfg Config, upstreams []*upstream.Upstream) (use func(), err error) {
	old := s.settings.Load()
	cfg.Listen, cfg.Limits.RequestHeaderBytes = old.Listen, old.Limits.RequestHeaderBytes
	st, err := prepare(cfg, upstreams, s.engine, s.secret, s.log)
	if err != nil {
		return nil, err
	}
	return func() {
		s.settings.Swap(st).access.Succeed(st.access)
		if s.webhooks != nil {
			s.webhooks.Use(st.webhooks)
		}
		if g := s.listener.Load(); g != nil {
			g.Limit(st.Limits.Connections, st.Limits.ConnectionsPerIP)
			g.Use(st.door)
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
		close(s.life.Ending)
	}
	if err := s.fast.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("shut down: %w", err)
	}
	return s.life.Ended(ctx)
}

// serving is one request, with the endpoint that it leads to.
type serving struct {
	access.Request
	configuration *settings
	endpoint      *endpoint
}

var servings = sync.Pool{New: func() any { return new(serving) }}

func acquire(ctx *fasthttp.RequestCtx, st *settings) *serving {
	x := servings.Get().(*serving)
	x.configuration = st
	x.Begin(ctx, &st.wire, st.access)
	return x
}

func (x *serving) lead(e *endpoint) { x.endpoint, x.BodyLimit, x.Allow = e, e.bodyLimit, e.allow }

func (x *serving) release() {
	x.Request.Release()
	x.configuration, x.endpoint = nil, nil
	servings.Put(x)
}

// handle is the outermost handler. Nothing of ctx survives it.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	x := acquire(ctx, s.settings.Load())
	x.lead(s.routes.other)
	defer s.finish(x)
	if c, ok := ctx.Conn().(*wire.Conn); ok {
		c.LineSeen = false
		defer func() { c.Unwritten = true }()
	}
	if s.tracer == nil && s.tasks.ServeAgain(&x.Request) {
		x.lead(s.routes.task)
		return
	}
	refused := s.admit(&ctx.Request.Header, x)
	if s.tracer != nil {
		s.beginSpan(x)
	}
	if refused != nil {
		x.Refuse(refused)
		return
	}
	s.dispatch(x)
}

// connState is told by the goroutine of a connection, after its last request.
func connState(c net.Conn, state fasthttp.ConnState) {
	if c, ok := c.(*wire.Conn); ok && state == fasthttp.StateClosed {
		c.Last.Forget()
	}
}

// finish ends every exchange, also one that panicked: fasthttp recovers
// nothing.
func (s *Server) finish(x *serving) {
	if v := recover(); v != nil {
		s.life.Roots.Caught("request", v)
		x.Ctx.Response.Reset()
		x.Refuse(wire.RefusePanic)
	}
	if x.HasBody() && !x.BodyRead { // what is left of it would be taken for the next request
		x.HangUp()
	}
	if x.Facts.Close || s.draining.Load() {
		x.Ctx.SetConnectionClose()
	}
	s.record(x)
	x.release()
}

var headerExpect = []byte("Expect")

// headerReceived decides about a body before it is read, or 100 Continue sent.
// A request that will be refused has no body as far as fasthttp is concerned:
// the handler answers at once, and the connection is closed.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) (conf fasthttp.RequestConfig) {
	if n := h.ContentLength(); (n == 0 || n == -2) && len(h.PeekCanonical(headerExpect)) == 0 {
		return conf
	}
	x := acquire(nil, s.settings.Load())
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
	r := wire.RefuseUnreadable
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		r = wire.RefuseHeaderSize
		if c, ok := ctx.Conn().(*wire.Conn); ok && !c.LineSeen {
			r = wire.RefuseTargetLength
		}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r = wire.RefuseBodySize
	case wire.IsTimeout(err):
		r = wire.RefuseSlow
	}
	ctx.Response.Reset()
	wire.WriteProblem(&ctx.Response, &r.Problem, s.settings.Load().wire.PublicURL)
	wire.HangUp(ctx)
	s.metrics.rejected.WithLabelValues(r.Reason).Inc()
	s.metrics.answered(s.routes.other.index, r.Status, 0)
}

// OpenWebhooks takes in what outbox holds, and serves webhooks from now on.
// Call it before the first poll. Nothing is sent before RunWebhooks.
func (s *Server) OpenWebhooks(ctx context.Context, outbox cache.Outbox, reg prometheus.Registerer) error {
	resume := func(t *webhooks.Task, c providers.Credential) (*poller.Request, bool) {
		return s.settings.Load().access.Restore(t.Upstream, t.Values, &t.Partition, &t.Key, c)
	}
	w := webhooks.New(s.engine, outbox, s.secret, resume, reg, s.log)
	w.Use(s.settings.Load().webhooks)
	if err := w.Load(ctx); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	s.engine.Observe(w)
	s.webhooks = w
	s.hooks = webhooks.NewFace(w, s.life)
	return nil
}

// Heard takes in notices of other processes that share the store. It returns at
// once.
func (s *Server) Heard(news []cache.Notice, lost bool) {
	s.engine.Heard(news, lost)
	if s.webhooks != nil {
		s.webhooks.Heard(news, lost)
	}
}

// RunWebhooks follows tasks and sends deliveries until ctx ends.
func (s *Server) RunWebhooks(ctx context.Context) {
	if s.webhooks != nil {
		s.webhooks.Run(ctx)
	}
}
