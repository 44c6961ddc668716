package poller

import "net/http"

// Trace is the trace context that an upstream poll carries (W3C Trace Context),
// as header values; the zero value carries none. It is neither keyed nor part of
// any answer: the recommendation has it describe a request and never change what
// the request means (section 2.1), and a poll that several callers share carries
// the one of the caller who began it. Polls that nobody waits for carry none.
type Trace struct {
	Parent string // traceparent, of a span of ours
	State  string // tracestate, as the caller sent it; only beside Parent
}

func (t Trace) set(h http.Header) {
	if t.Parent == "" {
		return
	}
	h.Set("Traceparent", t.Parent)
	if t.State != "" {
		h.Set("Tracestate", t.State)
	}
}
