// Package roots is where goroutines begin: a panic that nobody catches there
// ends the process, and with it what is asked for everybody else.
package roots

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// again is how long after a panic a root that is kept begins anew.
const again = time.Second

// Roots catches, counts and logs panics. It is safe for concurrent use.
type Roots struct {
	panics prometheus.Counter
	log    *slog.Logger
}

// New returns Roots that count with panics, which somebody else registers.
func New(panics prometheus.Counter, log *slog.Logger) *Roots { return &Roots{panics, log} }

// Run runs f as the root of a goroutine, or as one whose panic is no reason to
// end its caller, and reports whether it panicked. what is for the log.
func (r *Roots) Run(what string, f func()) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			r.Caught(what, v)
		}
	}()
	f()
	return false
}

// Keep runs f as Run does, and again after a panic, until f returns or stop is
// closed.
func (r *Roots) Keep(stop <-chan struct{}, what string, f func()) {
	for r.Run(what, f) {
		select {
		case <-time.After(again):
		case <-stop:
			return
		}
	}
}

// Every calls f each time that so long has passed, until ctx ends.
func Every(ctx context.Context, pause time.Duration, f func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// Recover catches a panic of the function that defers it.
func (r *Roots) Recover(what string) {
	if v := recover(); v != nil {
		r.Caught(what, v)
	}
}

// Caught notes what recover returned, and where it was, without arguments.
func (r *Roots) Caught(what string, v any) {
	r.panics.Inc()
	r.log.Error("panic", "root", what, "panic", Said(v), "stack", stack())
}

// Said is what may be told of a panic: its text if it is the runtime's or ours,
// else only its type, since others may quote an upstream.
func Said(v any) string {
	switch v := v.(type) {
	case runtime.Error:
		return v.Error()
	case string:
		if strings.HasPrefix(v, "BUG:") {
			return v
		}
	}
	return fmt.Sprintf("%T", v)
}

// stack is where the panic was that a deferred caller of Caught has recovered.
func stack() []string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var lines []string
	for {
		frame, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if !more {
			return lines
		}
	}
}
