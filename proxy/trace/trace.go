// Package trace tells an OpenTelemetry collector what Pollux does. Each request
// that it answers is a span in its caller's trace. Each task has a trace of its
// own, with the upstream polls that it cost: clients' requests link to it, since
// many share a poll, and a task outlives them all.
//
// Names and attributes are those of the semantic conventions, HTTP's stable ones
// and GenAI's. No query, header, body or credential is ever in a span.
package trace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"pollux/cache"
	"pollux/normalize"
)

// Tracer makes spans and sends them. It is safe for concurrent use. Nil makes
// none, and costs nothing: its methods, and those of what they return, do nothing
// then.
type Tracer struct {
	spans    trace.Tracer
	provider *sdk.TracerProvider
}

// New returns a Tracer by OpenTelemetry's environment variables, which env looks
// up for it; the SDK itself reads most of them from the process. It is nil while
// they name no place to send traces to. The error says which variable asks for
// what Pollux cannot do.
func New(ctx context.Context, version string, env func(string) (string, bool), log *slog.Logger) (*Tracer, error) {
	if on, err := wanted(env); !on {
		return nil, err
	}
	otel.SetErrorHandler(&failures{log: log})
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_*: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "pollux"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv()) // the last wins
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithIDGenerator(ids{}))
	return &Tracer{spans: provider.Tracer("pollux", trace.WithInstrumentationVersion(version)), provider: provider}, nil
}

// wanted reports whether the environment names a place to send traces to.
func wanted(env func(string) (string, bool)) (bool, error) {
	first := func(names ...string) (name, value string) {
		for _, name := range names {
			if value, _ := env(name); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	if _, off := first("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
		return false, nil
	}
	_, exporter := first("OTEL_TRACES_EXPORTER")
	_, collector := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case exporter == "none", exporter == "" && collector == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, errors.New("OTEL_TRACES_EXPORTER is neither otlp nor none")
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("%s is not http/protobuf, which is what traces are sent by, to port 4318 of most collectors", name)
	}
	return true, nil
}

// Shutdown sends what has not been sent yet, until ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// failures logs that spans could not be sent, once a minute at most.
type failures struct {
	log  *slog.Logger
	last atomic.Int64
}

// Handle implements otel.ErrorHandler.
func (f *failures) Handle(err error) {
	now := time.Now().Unix()
	if last := f.last.Load(); now-last >= 60 && f.last.CompareAndSwap(last, now) {
		f.log.Warn("traces could not be sent", "err", err)
	}
}

// given are the ids of a span that is to be started, in its context.
type given struct {
	trace trace.TraceID
	span  trace.SpanID
}

type givenKey struct{}

// ids are random, but those of tasks.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if g, ok := ctx.Value(givenKey{}).(given); ok {
		return g.trace, g.span
	}
	for !t.IsValid() {
		binary.NativeEndian.PutUint64(t[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t, ids{}.NewSpanID(ctx, t)
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (s trace.SpanID) {
	for !s.IsValid() {
		binary.NativeEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

// idsOf are those of a task's life: the same in every replica and after a restart,
// so that nothing has to be kept. A task that runs again has a span for each life,
// in one trace.
func idsOf(key *cache.ID, life int) given {
	sum := sha256.Sum256(fmt.Appendf(key[:], "trace of a task, life %d", life))
	g := given{span: trace.SpanID(sum[:8])}
	sum = sha256.Sum256(fmt.Appendf(key[:], "trace of a task"))
	g.trace = trace.TraceID(sum[:16])
	return g
}

// livesBefore is how often a task of this history has ended and gone on.
func livesBefore(history []cache.Change) (n int) {
	ended := func(i int) bool { return normalize.Status(history[i].Status).Terminal() }
	for i := 1; i < len(history); i++ {
		if ended(i-1) && !ended(i) {
			n++
		}
	}
	return n
}
