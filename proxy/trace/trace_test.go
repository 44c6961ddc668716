package trace

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pollux/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWanted: off unless the environment names a place, and what Pollux cannot do
// is said.
func TestWanted(t *testing.T) {
	for _, c := range []struct{ name, env, fault string }{
		{"nothing", "", ""},
		{"disabled", "OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", ""},
		{"none", "OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", ""},
		{"another exporter", "OTEL_TRACES_EXPORTER=zipkin", "OTEL_TRACES_EXPORTER is neither otlp nor none"},
		{"gRPC", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf"},
		{"gRPC for traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is not http/protobuf"},
		{"endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "on"},
		{"endpoint of traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/v1/traces OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "on"},
		{"exporter alone", "OTEL_TRACES_EXPORTER=otlp", "on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			for _, pair := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
				t.Setenv(name, value)
			}
			tracer, err := New(t.Context(), "v", func(name string) (string, bool) { v, ok := env[name]; return v, ok }, slog.New(slog.DiscardHandler))
			if got := tracer != nil; got != (c.fault == "on") {
				t.Errorf("on: %t", got)
			}
			if err == nil && c.fault != "" && c.fault != "on" || err != nil && !strings.HasPrefix(err.Error(), c.fault) {
				t.Errorf("%v, want %q", err, c.fault)
			}
			_ = tracer.Shutdown(t.Context())
		})
	}
}

// TestOffCostsNothing: nothing that the hit path or a poll calls allocates, or
// changes a request.
func TestOffCostsNothing(t *testing.T) {
	var tracer *Tracer
	key, ctx, req := &cache.ID{1}, context.Background(), &http.Request{Header: http.Header{}}
	e := &cache.Entry{}
	if n := testing.AllocsPerRun(100, func() {
		r := tracer.Begin(Incoming{})
		r.About(key)
		a := tracer.Polling(key, e, "u", "/", r)
		Send(With(ctx, a), req).Answered(200)
		r.AnsweredBy(a.Last())
		tracer.Ended(e)
		r.End(200, "")
		Send(With(ctx, r.Passing("u")), req).Failed("timeout")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(req.Header) > 0 || tracer.Begin(Incoming{}).Traceparent() != "" {
		t.Error("something was made")
	}
}

// TestIDsOfTasks: the same task has the same trace whoever asks, and a span for
// each of its lives.
func TestIDsOfTasks(t *testing.T) {
	one, other := &cache.ID{1}, &cache.ID{2}
	if idsOf(one, 0) != idsOf(&cache.ID{1}, 0) || idsOf(one, 0).trace == idsOf(other, 0).trace {
		t.Error("a task and its trace do not go together")
	}
	if a, b := idsOf(one, 0), idsOf(one, 1); a.trace != b.trace || a.span == b.span {
		t.Error("two lives are no two spans of one trace")
	}
	history := func(statuses ...string) (h []cache.Change) {
		for i, s := range statuses {
			h = append(h, cache.Change{Status: s, At: time.Unix(int64(i), 0)})
		}
		return h
	}
	for want, h := range map[int][]cache.Change{
		0: history("queued", "in_progress", "completed"),
		1: history("in_progress", "completed", "in_progress"),
		2: history("failed", "queued", "completed", "failed", "in_progress", "completed"),
	} {
		if got := livesBefore(h); got != want {
			t.Errorf("%v: %d lives before, want %d", h, got, want)
		}
	}
}
