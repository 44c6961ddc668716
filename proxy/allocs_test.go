//go:build !race

package proxy

import (
	"log/slog"
	"strings"
	"testing"
)

// Under the race detector pools forget at random, so this counts nothing there.

// TestPollAllocatesNothing counts what the whole server allocates, on a connection
// that repeats its request and on one whose requests differ.
func TestPollAllocatesNothing(t *testing.T) {
	f := newFace(t, nil)
	f.level.Set(slog.LevelInfo)
	for name, requests := range map[string][]string{
		"same":        {hitRequest, hitRequest},
		"alternating": {hitRequest, strings.Replace(hitRequest, "/t1", "/t2", 1)},
	} {
		if n := testing.AllocsPerRun(500, f.keepAlive(requests...)); n != 0 {
			t.Errorf("%s: got %v allocations per poll, want 0", name, n)
		}
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	f := newFace(t, nil)
	f.level.Set(slog.LevelInfo)
	for name, request := range map[string]string{
		"terminal":       hitRequest,
		"reserved query": strings.Replace(hitRequest, "t1 ", "t1?wait=1 ", 1),
		"not modified":   strings.Replace(hitRequest, "Accept:", "If-None-Match: *\r\nAccept:", 1),
		"held":           strings.Replace(hitRequest, "/shannon/", "/held/", 1),
	} {
		ctx := hitContext(t, f, request)
		if n := testing.AllocsPerRun(200, func() {
			ctx.Response.Reset()
			f.server.handle(ctx)
		}); n != 0 {
			t.Errorf("%s: got %v allocations per hit, want 0", name, n)
		}
	}
	keyed := DefaultConfig()
	withClients(&keyed)
	must(t, f.reload(keyed))
	for name, request := range map[string]string{
		"key in its own header": strings.Replace(hitRequest, "Accept:", "X-Pollux-Key: key-all\r\nAccept:", 1),
		"key of an SDK":         strings.NewReplacer("/shannon/", "/held/", "sk-0123456789abcdef0123456789abcdef", "key-all").Replace(hitRequest),
	} {
		ctx := hitContext(t, f, request)
		if n := testing.AllocsPerRun(200, func() {
			ctx.Response.Reset()
			f.server.handle(ctx)
		}); n != 0 {
			t.Errorf("%s: got %v allocations per hit, want 0", name, n)
		}
	}
	must(t, f.reload(DefaultConfig()))
	f.answer(runningShannon)
	ctx := hitContext(t, f, strings.Replace(hitRequest, "/t1", "/running", 1))
	if n := testing.AllocsPerRun(200, func() {
		ctx.Response.Reset()
		f.server.handle(ctx)
	}); n != 0 {
		t.Errorf("running: got %v allocations per hit, want 0", n)
	}
}
