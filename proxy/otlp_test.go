package proxy

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"pollux/proxy/trace"
)

// otlp is a collector: it takes spans by OTLP over HTTP.
type otlp struct {
	url   string
	mu    sync.Mutex // guards what follows
	spans []*spans.Span
	text  string // of everything that came
}

func newOTLP(t *testing.T) *otlp {
	c := &otlp{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(body)
		}
		raw, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(raw, &sent) != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text += protojson.Format(&sent)
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// tracer sends to c; what it returns sends the rest.
func (c *otlp) tracer(t *testing.T) (*trace.Tracer, func()) {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tracer, err := trace.New(t.Context(), "1.2.3", os.LookupEnv, nil)
	must(t, err)
	flush := sync.OnceFunc(func() { must(t, tracer.Shutdown(t.Context())) })
	t.Cleanup(func() { _ = tracer.Shutdown(t.Context()) })
	return tracer, flush
}

// named are the spans of a kind and name.
func (c *otlp) named(kind spans.Span_SpanKind, name string) (found []*spans.Span) {
	for _, s := range c.spans {
		if s.Kind == kind && s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func attributesOf(s *spans.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		if all[a.Key] = a.Value.GetStringValue(); all[a.Key] == "" {
			all[a.Key] = strconv.FormatInt(a.Value.GetIntValue(), 10)
		}
	}
	return all
}

func linksTo(from, to *spans.Span) bool {
	for _, l := range from.Links {
		if string(l.TraceId) == string(to.TraceId) && string(l.SpanId) == string(to.SpanId) {
			return true
		}
	}
	return false
}

// TestTraces: two callers share an upstream poll, each in a trace of its own. Both
// lead to the poll, and the poll to the task's life.
func TestTraces(t *testing.T) {
	c := newOTLP(t)
	tracer, flush := c.tracer(t)
	f := newTracedFace(t, nil, tracer)
	hold, seen := make(chan struct{}), make(chan string, 10)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		seen <- strings.Join(r.Header["Traceparent"], "|")
		<-hold
		shannonAnswer(strings.Replace(completedBody, "done", "canary-text", 1))(w, r)
	})
	traces := []string{sentTrace, strings.Repeat("7", 32)}
	answers := make([]*answer, len(traces))
	var callers sync.WaitGroup
	for i, id := range traces {
		callers.Go(func() {
			answers[i] = f.do("GET", shannonTask, "", key1, "Traceparent: 00-"+id+"-"+sentSpan+"-01")
		})
		for n := 0; i == 0 && f.polls.Load() == 0; n++ {
			time.Sleep(time.Millisecond)
		}
	}
	time.Sleep(100 * time.Millisecond) // the second joins the first
	close(hold)
	callers.Wait()
	f.do("GET", "/v1/tasks/nope/t?secret-query=canary", "", key1).expect(t, 404, nil)
	f.do("GET", "/native/shannon/canary-path", "", key1)
	f.do("GET", "/readyz", "")
	f.do("GET", shannonTask, "", key1).expect(t, 200, nil) // a hit, about the same task
	flush()
	c.mu.Lock()
	defer c.mu.Unlock()

	lives, polls := c.named(spans.Span_SPAN_KIND_INTERNAL, "task shannon"), c.named(spans.Span_SPAN_KIND_CLIENT, "GET /api/v1/tasks/{task_id}")
	if len(lives) != 1 || len(polls) == 0 {
		t.Fatalf("%d lives, %d polls, %d spans", len(lives), len(polls), len(c.spans))
	}
	life, poll := lives[0], polls[0]
	if string(poll.TraceId) != string(life.TraceId) || string(poll.ParentSpanId) != string(life.SpanId) || len(life.ParentSpanId) != 0 {
		t.Error("the poll is no child of the task's life")
	}
	if got, want := <-seen, "00-"+hex.EncodeToString(poll.TraceId)+"-"+hex.EncodeToString(poll.SpanId)+"-01"; got != want {
		t.Errorf("the upstream saw %q, want the poll's span, %q", got, want)
	}
	for i, id := range traces {
		var request *spans.Span
		for _, s := range c.named(spans.Span_SPAN_KIND_SERVER, "GET /v1/tasks/{upstream}/{id}") {
			if hex.EncodeToString(s.TraceId) == id {
				request = s
			}
		}
		if request == nil {
			t.Fatalf("no request in the trace of caller %d", i)
		}
		if hex.EncodeToString(request.ParentSpanId) != sentSpan || !linksTo(request, poll) || !linksTo(request, life) {
			t.Errorf("caller %d: its request has no link to the poll, or to the life: %s", i, protojson.Format(request))
		}
		if want := "00-" + id + "-" + hex.EncodeToString(request.SpanId) + "-01"; answers[i].Header.Get("Traceparent") != want {
			t.Errorf("caller %d was told %q, want %q", i, answers[i].Header.Get("Traceparent"), want)
		}
	}
	for _, a := range []struct {
		span *spans.Span
		want map[string]string
	}{
		{poll, map[string]string{"http.request.method": "GET", "http.response.status_code": "200", "url.template": "/api/v1/tasks/{task_id}", "pollux.upstream": "shannon"}},
		{life, map[string]string{"pollux.task.status": "completed", "gen_ai.provider.name": "shannon", "gen_ai.response.model": "m-1", "gen_ai.usage.output_tokens": "2"}},
	} {
		got := attributesOf(a.span)
		for key, want := range a.want {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", a.span.Name, key, got[key], want)
			}
		}
	}
	if !strings.Contains(c.text, "deployment.environment.name") || len(c.named(spans.Span_SPAN_KIND_SERVER, "GET /readyz")) > 0 {
		t.Error("the environment's attributes are missing, or probes are traced")
	}
	for _, secret := range []string{strings.TrimPrefix(key1, "X-API-Key: "), "canary"} {
		if strings.Contains(c.text, secret) {
			t.Errorf("%q is in a span", secret)
		}
	}
}
