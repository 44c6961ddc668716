package trace

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"pollux/cache"
	"pollux/normalize"
)

// Poll is an upstream poll that was made; the zero Poll is none.
type Poll struct{ context trace.SpanContext }

// Asking is what upstream requests belong to: a task and who asked for it, or a
// request that is passed on. It is carried by a context, and belongs to one
// goroutine. Nil is nothing.
type Asking struct {
	tracer   trace.Tracer
	parent   context.Context
	asker    *Request
	upstream string
	template string // of the URL's path
	last     Poll
}

type askingKey struct{}

// Polling prepares the spans of the upstream requests that a poll of a task
// makes: they belong to the task's trace, and link to who asked, which may be
// nil. known is what is known of the task, nil if nothing is; template is the
// path of its polls.
func (t *Tracer) Polling(key *cache.ID, known *cache.Entry, upstream, template string, asker *Request) *Asking {
	if t == nil {
		return nil
	}
	life := 0
	if known != nil {
		life = livesBefore(known.History)
	}
	// The span of the task's life is made when it has ended. This one is not
	// ended, and so never sent: it says whether that one will be.
	ctx, _ := t.spans.Start(context.WithValue(context.Background(), givenKey{}, idsOf(key, life)), nameOf(upstream), trace.WithNewRoot())
	return &Asking{tracer: t.spans, parent: ctx, asker: asker, upstream: upstream, template: template}
}

// Passing prepares the span of a request that is passed on: it is part of the
// caller's trace.
func (r *Request) Passing(upstream string) *Asking {
	if r == nil {
		return nil
	}
	return &Asking{tracer: r.spans, parent: trace.ContextWithSpan(context.Background(), r.span), upstream: upstream}
}

// With carries a to Send.
func With(ctx context.Context, a *Asking) context.Context {
	if a == nil {
		return ctx
	}
	return context.WithValue(ctx, askingKey{}, a)
}

// Last is the last request that was sent for a.
func (a *Asking) Last() Poll {
	if a == nil {
		return Poll{}
	}
	return a.last
}

// Sent is the span of one upstream request; nil is none.
type Sent struct{ span trace.Span }

// Send begins the span of a request that is about to be sent for what ctx
// carries, and has the request say so.
func Send(ctx context.Context, req *http.Request) *Sent {
	a, _ := ctx.Value(askingKey{}).(*Asking)
	if a == nil {
		return nil
	}
	name, path := req.Method, "/"
	attributes := append([]attribute.KeyValue{attribute.String("http.request.method", req.Method), attribute.String("pollux.upstream", a.upstream)},
		server(req.URL.Host, req.URL.Scheme)...)
	if a.template != "" { // what else is in a path, nobody declared
		name, path = name+" "+a.template, req.URL.EscapedPath()
		attributes = append(attributes, attribute.String("url.template", a.template))
	}
	attributes = append(attributes, attribute.String("url.full", (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host}).String()+path))
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...)}
	if a.asker != nil {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: a.asker.span.SpanContext()}))
	}
	_, span := a.tracer.Start(a.parent, name, options...)
	a.last = Poll{span.SpanContext()}
	req.Header.Set("Traceparent", traceparent(a.last.context))
	return &Sent{span}
}

// Answered ends the span with the upstream's answer.
func (s *Sent) Answered(code int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= 400 {
		s.failed(strconv.Itoa(code))
	}
	s.span.End()
}

// Failed ends the span of a request without a whole answer; why is one of few
// words.
func (s *Sent) Failed(why string) {
	if s == nil {
		return
	}
	s.failed(why)
	s.span.End()
}

func (s *Sent) failed(why string) {
	s.span.SetAttributes(attribute.String("error.type", why))
	s.span.SetStatus(codes.Error, "")
}

func nameOf(upstream string) string { return "task " + upstream }

// Ended sends the span of a task's life, from its start, or from when Pollux first
// saw it, to its end.
func (t *Tracer) Ended(e *cache.Entry) {
	if t == nil {
		return
	}
	begin, end := e.FirstSeen, e.CompletedAt
	if !e.CreatedAt.IsZero() && (begin.IsZero() || e.CreatedAt.Before(begin)) {
		begin = e.CreatedAt
	}
	if end.Before(begin) {
		end = e.ObservedAt
	}
	life := livesBefore(e.History)
	history := e.History
	for i := len(history) - 1; i > 0 && life > 0; i-- { // of this life alone
		if normalize.Status(history[i-1].Status).Terminal() && !normalize.Status(history[i].Status).Terminal() {
			history, begin = history[i:], history[i].At
			break
		}
	}
	_, span := t.spans.Start(context.WithValue(context.Background(), givenKey{}, idsOf(&e.Key, life)), nameOf(e.Upstream),
		trace.WithNewRoot(), trace.WithTimestamp(begin), trace.WithAttributes(about(e)...))
	for _, change := range history {
		span.AddEvent(change.Status, trace.WithTimestamp(change.At), trace.WithAttributes(attribute.String("pollux.task.native_status", change.NativeStatus)))
	}
	if s := normalize.Status(e.Status); s == normalize.Failed || s == normalize.TimedOut {
		span.SetAttributes(attribute.String("error.type", cmp.Or(e.ErrorCode, e.Status)))
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(slices.MaxFunc([]time.Time{begin, end}, time.Time.Compare)))
}

// about is what is said of a task that has ended. GenAI's attributes are there
// where a model answered. Nothing of what was asked or answered is.
func about(e *cache.Entry) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("pollux.upstream", e.Upstream), attribute.String("pollux.provider", e.Provider), attribute.String("pollux.task", e.Ref),
		attribute.String("pollux.task.status", e.Status), attribute.String("pollux.task.native_status", e.NativeStatus),
		attribute.Int("pollux.task.upstream_polls", e.Polls),
	}
	usage := gjson.GetBytes(e.Document, "usage")
	input, output := usage.Get("input_tokens"), usage.Get("output_tokens")
	if e.Model == "" && input.Type != gjson.Number && output.Type != gjson.Number {
		return all
	}
	all = append(all, attribute.String("gen_ai.operation.name", "invoke_agent"), attribute.String("gen_ai.provider.name", e.Provider),
		attribute.String("gen_ai.response.id", e.TaskID))
	if e.Model != "" {
		all = append(all, attribute.String("gen_ai.response.model", e.Model))
	}
	if input.Type == gjson.Number {
		all = append(all, attribute.Int64("gen_ai.usage.input_tokens", input.Int()))
	}
	if output.Type == gjson.Number {
		all = append(all, attribute.Int64("gen_ai.usage.output_tokens", output.Int()))
	}
	return all
}

// server are the attributes of a server by its host, with a port or without.
func server(host, scheme string) []attribute.KeyValue {
	at := url.URL{Host: host}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		port, _ = net.LookupPort("tcp", scheme)
	}
	if at.Hostname() == "" {
		return nil
	}
	return []attribute.KeyValue{attribute.String("server.address", at.Hostname()), attribute.Int("server.port", port)}
}
