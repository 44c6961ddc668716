package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/proxy/egress"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
)

const (
	// ForwardPatience is how long an upstream may take to begin its answer to
	// a forwarded request, and how long it may then be silent: a create may
	// block for minutes until its task has ended.
	ForwardPatience = 10 * time.Minute
)

// Forward sends req to the upstream once, past the breaker and the budget:
// those are about polls. It adds itself to Via (RFC 9110, section 7.6.3) and
// changes nothing else. part is whose request it is, nil if nobody knows. The
// answer's body is the caller's to read and close; whatever its code, it is no
// error.
func (u *Upstream) Forward(part *Partition, req *http.Request) (*http.Response, *problem.Problem) {
	via := "1.1 " + hop
	if before := req.Header.Values("Via"); len(before) > 0 {
		via = strings.Join(before, ", ") + ", " + via
	}
	req.Header.Set("Via", via)
	var owner *cache.ID
	if part != nil {
		owner = &part.ID
	}
	leave, full := u.passing.enter(owner, &u.Config)
	if full != "" {
		u.Metrics.forwardRefused.Inc()
		return nil, &problem.Problem{Type: problem.Overloaded, Status: http.StatusServiceUnavailable, Upstream: u.Name, RetryAfter: time.Second, Detail: full}
	}
	span := trace.Send(req.Context(), req)
	res, err := u.Transport.RoundTrip(owner, req)
	if err != nil {
		leave()
		span.Failed("no_answer")
		u.Metrics.forwardFailed(req.Context())
		return nil, u.forwardProblem(req.Context(), err)
	}
	span.Answered(res.StatusCode)
	u.Metrics.forwarded[res.StatusCode/100%len(u.Metrics.forwarded)].Inc()
	res.Body = &passingBody{ReadCloser: res.Body, leave: sync.OnceFunc(leave)}
	return res, nil
}

// passingBody is the body of a forwarded answer, whose end makes room for
// another request.
type passingBody struct {
	io.ReadCloser
	leave func()
}

func (b *passingBody) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}

// passing counts the requests that are being passed on to one upstream, from
// their start to the end of their answers. Polls are bounded apart from them.
type passing struct {
	mu  sync.Mutex // guards what follows
	all int
	by  map[cache.ID]int // of each partition; the zero one is nobody's
}

// enter counts one request of owner's, nil being nobody, and returns what ends
// it, or which limit is reached.
func (p *passing) enter(owner *cache.ID, c *Config) (leave func(), full string) {
	var id cache.ID
	if owner != nil {
		id = *owner
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.all >= c.MaxForwards:
		return nil, fmt.Sprintf("%d requests are being passed on to the upstream (max_forwards)", p.all)
	case p.by[id] >= c.MaxForwardsPerPartition:
		return nil, fmt.Sprintf("%d requests of this credential are being passed on to the upstream (max_forwards_per_partition)", p.by[id])
	}
	p.all++
	p.by[id]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.by[id]--; p.by[id] == 0 {
			delete(p.by, id)
		}
	}, ""
}

func (u *Upstream) forwardProblem(ctx context.Context, err error) *problem.Problem {
	p := &problem.Problem{Type: problem.UpstreamError, Status: http.StatusBadGateway, Upstream: u.Name}
	failed := explain(ctx, err, "reach the upstream")
	if p.Detail = failed.Reason; failed.Timeout {
		p.Type, p.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
	}
	var op *net.OpError
	if _, unsent := errors.AsType[*egress.Error](err); !unsent && (!errors.As(err, &op) || op.Op != "dial") {
		p.Detail += "; whether it acted on the request is not known"
	}
	return p
}

// forwardClasses are the values of the label code of pollux_forwarded_total;
// the first stands for requests without an answer.
var forwardClasses = [...]string{"unreachable", "1xx", "2xx", "3xx", "4xx", "5xx", "other", "other", "other", "other"}

// forwardMetrics are one upstream's handles, by class of the answer's code.
type forwardMetrics struct {
	forwarded      [len(forwardClasses)]prometheus.Counter
	abandoned      prometheus.Counter // the caller left before there was an answer
	forwardRefused prometheus.Counter // by max_forwards or max_forwards_per_partition
}

func newForwardMetrics(v *prometheus.CounterVec, upstream string) (m forwardMetrics) {
	for i, class := range forwardClasses {
		m.forwarded[i] = v.WithLabelValues(upstream, class)
	}
	m.abandoned = v.WithLabelValues(upstream, "abandoned")
	m.forwardRefused = v.WithLabelValues(upstream, "refused")
	return m
}

func (m *forwardMetrics) forwardFailed(ctx context.Context) {
	if ctx.Err() != nil {
		m.abandoned.Inc()
		return
	}
	m.forwarded[0].Inc()
}
