package trace

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"pollux/cache"
)

// Incoming is what is known of a request when it arrives.
type Incoming struct {
	Traceparent string // the caller's, valid or ""
	Method      string // "_OTHER" for one that is not known
	Route       string // a template, "" if the path leads nowhere
	Path        string // as far as anybody may see it
	Host        string // as the caller wrote it, with a port or without; "" is not told
	Secure      bool   // it came by https
	Upstream    string // "" is none
}

// Request is the span of a request that Pollux answers. Its methods are safe for
// concurrent use; nil is no span.
type Request struct {
	spans trace.Tracer
	span  trace.Span
}

// Begin begins the span of a request.
func (t *Tracer) Begin(in Incoming) *Request {
	if t == nil {
		return nil
	}
	scheme := "http"
	if in.Secure {
		scheme = "https"
	}
	name := in.Method
	if name == "_OTHER" {
		name = "HTTP"
	}
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", in.Method), attribute.String("url.scheme", scheme), attribute.String("url.path", in.Path),
	}
	if in.Route != "" {
		name += " " + in.Route
		attributes = append(attributes, attribute.String("http.route", in.Route))
	}
	if in.Upstream != "" {
		attributes = append(attributes, attribute.String("pollux.upstream", in.Upstream))
	}
	attributes = append(attributes, server(in.Host, scheme)...)
	_, span := t.spans.Start(parent(in.Traceparent), name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	return &Request{t.spans, span}
}

// parent is a context in which the caller's span is the parent.
func parent(traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
}

// Traceparent is the context of the span, as it stands in headers; "" for nil.
func (r *Request) Traceparent() string {
	if r == nil {
		return ""
	}
	return traceparent(r.span.SpanContext())
}

func traceparent(c trace.SpanContext) string {
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// TraceID is that of the span's trace, in hexadecimal.
func (r *Request) TraceID() string { return r.span.SpanContext().TraceID().String() }

// About links the request to the trace of a task that it is about.
func (r *Request) About(key *cache.ID) {
	if r == nil || !r.span.IsRecording() {
		return
	}
	g := idsOf(key, 0)
	r.span.AddLink(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: g.trace, SpanID: g.span, TraceFlags: trace.FlagsSampled})})
}

// AnsweredBy links the request to the upstream poll that answered it, which it
// may share with others.
func (r *Request) AnsweredBy(p Poll) {
	if r != nil && p.context.IsValid() {
		r.span.AddLink(trace.Link{SpanContext: p.context})
	}
}

// End ends the span with the answer's code, and what its Cache-Status says.
func (r *Request) End(code int, cacheStatus string) {
	if r == nil {
		return
	}
	r.span.SetAttributes(attribute.Int("http.response.status_code", code))
	if cacheStatus != "" {
		r.span.SetAttributes(attribute.String("pollux.cache_status", cacheStatus))
	}
	if code >= 500 {
		r.span.SetAttributes(attribute.String("error.type", strconv.Itoa(code)))
		r.span.SetStatus(codes.Error, "")
	}
	r.span.End()
}
