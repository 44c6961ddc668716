package poller

import (
	"context"
	"errors"
	"net"
	"net/http"
	"pollux/proxy/problem"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
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
	res, err := u.transport.RoundTrip(owner, req)
	if err != nil {
		u.metrics.forwardFailed(req.Context())
		return nil, u.forwardProblem(req.Context(), err)
	}
	u.metrics.forwarded[res.StatusCode/100%len(u.metrics.forwarded)].Inc()
	return res, nil
}

func (u *Upstream) forwardProblem(ctx context.Context, err error) *problem.Problem {
	p := &problem.Problem{Type: problem.UpstreamError, Status: http.StatusBadGateway, Upstream: u.Name}
	failed := explain(ctx, err, "reach the upstream")
	if p.Detail = failed.reason; failed.timeout {
		p.Type, p.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		p.Detail += "; whether it acted on the request is not known"
	}
	return p
}

// forwardClasses are the values of the label code of pollux_forwarded_total;
// the first stands for requests without an answer.
var forwardClasses = [...]string{"unreachable", "1xx", "2xx", "3xx", "4xx", "5xx", "other", "other", "other", "other"}

// forwardMetrics are one upstream's handles, by class of the answer's code.
type forwardMetrics struct {
	forwarded [len(forwardClasses)]prometheus.Counter
	abandoned prometheus.Counter // the caller left before there was an answer
}

func newForwardMetrics(v *prometheus.CounterVec, upstream string) (m forwardMetrics) {
	for i, class := range forwardClasses {
		m.forwarded[i] = v.WithLabelValues(upstream, class)
	}
	m.abandoned = v.WithLabelValues(upstream, "abandoned")
	return m
}

func (m *forwardMetrics) forwardFailed(ctx context.Context) {
	if ctx.Err() != nil {
		m.abandoned.Inc()
		return
	}
	m.forwarded[0].Inc()
}
