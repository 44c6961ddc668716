package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/cmd/pollux/console"
)

// notModified answers 304 as Pollux does when a wait ends without a change.
func notModified(headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w, headers)
		w.WriteHeader(http.StatusNotModified)
	}
}

func TestWaitExitCodes(t *testing.T) {
	cases := map[string]int{"completed": 0, "failed": 1, "cancelled": 2, "timed_out": 3, "incomplete": 4, "requires_action": 5}
	for status, want := range cases {
		t.Run(status, func(t *testing.T) {
			document := documentOf(status, nil)
			startPollux(t, tells(document))
			if got := runWith(t, "", "wait", "shannon/x", "--json"); got.code != want || got.stdout != document+"\n" || got.stderr != "" {
				t.Errorf("got %+v, want code %d and the document", got, want)
			}
			if got := runWith(t, "", "wait", "--quiet", "shannon/x"); got.code != want || got.stdout != "" {
				t.Errorf("--quiet: got %+v, want code %d and no output", got, want)
			}
		})
	}
	t.Run("a status of the future", func(t *testing.T) {
		startPollux(t, tells(documentOf("abandoned", map[string]any{"terminal": true})))
		if got := runWith(t, "", "wait", "shannon/x"); got.code != exitUnavailable || !strings.Contains(got.stderr, "abandoned") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWaitAsksToBeToldOfChanges(t *testing.T) {
	running := documentOf("in_progress", nil)
	p := startPollux(t,
		tells(running, "ETag", `W/"1"`),
		notModified("Preference-Applied", "wait=30", "ETag", `W/"1"`),
		tells(documentOf("completed", nil), "Preference-Applied", "wait=30"))
	got := runWith(t, "", "wait", "shannon/x")
	if got.code != console.ExitOK || !strings.Contains(got.stdout, "completed") {
		t.Fatalf("got %+v", got)
	}
	want := []struct{ prefer, match string }{{"", ""}, {"wait=30", `W/"1"`}, {"wait=30", `W/"1"`}}
	for i, r := range p.requests() {
		if got := r.Header.Get("Prefer"); got != want[i].prefer || r.Header.Get("If-None-Match") != want[i].match {
			t.Errorf("request %d: Prefer %q, If-None-Match %q, want %+v", i, got, r.Header.Get("If-None-Match"), want[i])
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	startPollux(t, tells(documentOf("in_progress", nil)), func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	got := runWith(t, "", "wait", "--timeout", "0.05", "shannon/x")
	if got.code != exitGaveUp || got.stdout != "" || got.stderr != "pollux wait: shannon/x: gave up after 50ms: the task is in_progress\n" {
		t.Errorf("got %+v", got)
	}
}

func TestWaitIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	startPollux(t, tells(documentOf("in_progress", nil)), func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	var out, stderr strings.Builder
	if code := run(ctx, []string{"wait", "shannon/x"}, strings.NewReader(""), &out, &stderr); code != exitInterrupted || out.Len()+stderr.Len() > 0 {
		t.Errorf("code %d, stdout %q, stderr %q", code, &out, &stderr)
	}
}

func TestWaitFails(t *testing.T) {
	t.Run("at once, when nothing is known", func(t *testing.T) {
		p := startPollux(t, refuses(503, "upstream-unavailable", "The upstream is left alone", "", "Retry-After", "60"))
		if got := runWith(t, "", "wait", "shannon/x"); got.code != exitUnavailable || len(p.requests()) != 1 {
			t.Errorf("got %+v after %d requests", got, len(p.requests()))
		}
	})
	t.Run("at once, when the task is gone", func(t *testing.T) {
		p := startPollux(t, tells(documentOf("queued", nil)), refuses(410, "task-gone", "The task is gone", ""))
		got := runWith(t, "", "wait", "shannon/x")
		if got.code != exitUnavailable || len(p.requests()) != 2 || !strings.Contains(got.stderr, "shannon/x: The task is gone (410)") {
			t.Errorf("got %+v after %d requests", got, len(p.requests()))
		}
	})
	t.Run("not, when a wait knows better", func(t *testing.T) {
		p := startPollux(t, refuses(410, "task-gone", "The task is gone", ""), tells(documentOf("completed", nil)))
		if got := runWith(t, "", "wait", "shannon/x"); got.code != console.ExitOK || p.requests()[1].Header.Get("Prefer") == "" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("not, when it passes", func(t *testing.T) {
		startPollux(t, tells(documentOf("queued", nil)),
			refuses(503, "overloaded", "Too busy", "shutting down", "Retry-After", "1"), tells(documentOf("failed", nil)))
		if got := runWith(t, "", "wait", "shannon/x"); got.code != exitTaskFailed || got.stderr != "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWaitForSeveral(t *testing.T) {
	cleanClient(t)
	p := startPollux(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/a"):
			tells(documentOf("completed", map[string]any{"id": "a"}))(w, r)
		case strings.HasSuffix(r.URL.Path, "/b"):
			tells(documentOf("cancelled", map[string]any{"id": "b"}))(w, r)
		default:
			refuses(404, "task-not-found", "No such task", "")(w, r)
		}
	})
	writeClientFile(t, os.Getenv("XDG_CONFIG_HOME"), "credentials: {shannon: {X-API-Key: s}, orq: {Authorization: Bearer o}}", 0o600)
	got := runWith(t, "", "wait", "--json", "shannon/a", "orq/agent/b")
	if lines := strings.Count(got.stdout, "\n"); got.code != exitTaskCancelled || lines != 2 {
		t.Errorf("got %+v, want code %d and two documents", got, exitTaskCancelled)
	}
	for _, r := range p.requests() {
		shannon := strings.Contains(r.URL.Path, "shannon")
		if shannon != (r.Header.Get("X-Api-Key") == "s") || shannon == (r.Header.Get("Authorization") == "Bearer o") {
			t.Errorf("%s was asked for with %v", r.URL.Path, r.Header)
		}
	}
	got = runWith(t, "", "wait", "shannon/a", "shannon/c")
	if got.code != exitUnavailable || !strings.Contains(got.stderr, "shannon/c: No such task") || !strings.Contains(got.stdout, "shannon/a") {
		t.Errorf("got %+v", got)
	}
}

func TestWorst(t *testing.T) {
	codes := slices.Clone(badFirst)
	for i := range codes {
		if got := worst(codes[i:]); got != codes[i] {
			t.Errorf("worst(%v) = %d, want %d", codes[i:], got, codes[i])
		}
	}
}

func TestPauseAfter(t *testing.T) {
	header := func(pairs ...string) *answer {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return &answer{header: h}
	}
	cases := []struct {
		name   string
		answer *answer
		waited bool
		took   time.Duration
		want   time.Duration
	}{
		{"the first answer", header("Retry-After", "9"), false, 0, 0},
		{"a wait that was honoured", header("Preference-Applied", "wait=30", "Retry-After", "9"), true, 30 * time.Second, 0},
		{"a wait that ended at once", header("Preference-Applied", "wait=30"), true, 0, waitPace},
		{"a Pollux that cannot wait", header("Retry-After", "9"), true, 0, 9 * time.Second},
		{"one that says nothing", header(), true, 0, pollPace},
		{"one that says nonsense", header("Retry-After", "tomorrow"), true, 0, pollPace},
		{"one that says too much", header("Retry-After", "86400"), true, 0, patience},
	}
	for _, c := range cases {
		if got := pauseAfter(c.answer, c.waited, c.took); got != c.want {
			t.Errorf("%s: pause %v, want %v", c.name, got, c.want)
		}
	}
	if got := pauseAfterError(fmt.Errorf("x: %w", &problem{RetryAfter: 1 << 60})); got != patience {
		t.Errorf("after an absurd Retry-After: pause %v", got)
	}
	if got := pauseAfterError(errors.New("x")); got != pollPace {
		t.Errorf("after an error: pause %v", got)
	}
}

func TestProgressLine(t *testing.T) {
	refs, err := parseRefs([]string{"shannon/a", "shannon/b"})
	if err != nil {
		t.Fatal(err)
	}
	one := newProgressLine(&strings.Builder{}, refs[:1])
	if got, want := one.text(3*time.Second), "3s  shannon/a  no answer yet"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	two := newProgressLine(&strings.Builder{}, refs)
	d, err := parseDocument([]byte(documentOf("in_progress", map[string]any{"progress": map[string]any{"percent": 7.5}})))
	if err != nil {
		t.Fatal(err)
	}
	two.set(1, d)
	if got, want := two.text(70*time.Second), "1m  0 of 2 over  shannon/b  in_progress  7.5 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	two.done(1)
	if got, want := two.text(0), "0s  1 of 2 over  shannon/a  no answer yet"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
