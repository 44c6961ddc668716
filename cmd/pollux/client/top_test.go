package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pollux/cmd/pollux/console"
)

// lookedAt is when the answers below are shown.
var lookedAt = time.Date(2025, 10, 22, 10, 31, 30, 0, time.UTC)

const (
	fleetAnswer = `{"object":"fleet","at":"2025-10-22T10:30:00Z",
"tasks":{"total":7,"stuck":1,"by_status":{"queued":2,"in_progress":1,"requires_action":0,"unknown":0,"completed":2,"incomplete":0,"failed":2,"cancelled":0,"timed_out":0},
 "by_upstream":{"shannon":{"queued":2,"in_progress":1,"completed":4}}},
"polls":{"received":2000,"upstream":90,"saved":{"total":1910,"hit":1500,"collapsed":400,"stale":10,"not_modified":3},"rate_limits_avoided":12},
"durations":{"shannon":{"p50_seconds":1.25,"p95_seconds":90,"samples":4}},"oldest":null,
"history":{"step_seconds":10,"by_status":{},"polls_received":[],"polls_upstream":[]},
"failures":[{"upstream":"orq","code":"E_TOOL","message":"the tool get_events answered with an error of its own: no such calendar","count":12,"latest":"2025-10-22T10:31:00Z","ref":"orq/my agent/01K6"},
 {"upstream":"shannon","code":null,"message":"no\u001b[31mluck","count":1,"latest":"2025-10-22T09:31:00Z","ref":"shannon/task_0"}]}`
	upstreamsAnswer = `{"object":"list","data":[
{"name":"shannon","provider":"shannon","breaker":"closed","retry_in_seconds":null,"budget":{"limit":30,"per_seconds":60,"burst":5,"left":5},"paused_for_seconds":null,
 "latency":{"p50_seconds":0.012,"p99_seconds":1.5},"error_ratio":0,"last_error":null,"polls":{"received":123456789,"upstream":90},"in_flight":2},
{"name":"a2a","provider":"a2a","breaker":"closed","retry_in_seconds":null,"budget":null,"paused_for_seconds":null,
 "latency":{"p50_seconds":0.2,"p99_seconds":1.5},"error_ratio":0.25,"last_error":{"at":"2025-10-22T10:31:10Z","type":"upstream-timeout","status":null,"detail":"no answer within 10s"},"polls":{"received":80,"upstream":8},"in_flight":0},
{"name":"fal","provider":"fal","breaker":"closed","retry_in_seconds":null,"budget":null,"paused_for_seconds":null,
 "latency":{"p50_seconds":null,"p99_seconds":null},"error_ratio":0,"last_error":null,"polls":{"received":0,"upstream":0},"in_flight":0},
{"name":"gumloop","provider":"gumloop","breaker":"closed","retry_in_seconds":null,"budget":{"limit":100,"per_seconds":60,"left":0},"paused_for_seconds":130,
 "latency":{"p50_seconds":0.3,"p99_seconds":1.5},"error_ratio":0,"last_error":{"at":"2025-10-22T10:30:10Z","type":"rate-limited","status":429,"detail":null},"polls":{"received":80,"upstream":8},"in_flight":0},
{"name":"orq","provider":"orq","breaker":"open","retry_in_seconds":8,"budget":{"limit":100,"per_seconds":60,"left":40},"paused_for_seconds":null,
 "latency":{"p50_seconds":null,"p99_seconds":null},"error_ratio":0.5,"last_error":{"at":"2025-10-22T10:29:00Z","type":"upstream-error","status":502,"detail":"the answer is no JSON"},"polls":{"received":0,"upstream":0},"in_flight":0},
{"name":"replicate","provider":"replicate","breaker":"half-open","retry_in_seconds":null,"budget":null,"paused_for_seconds":null,
 "latency":{"p50_seconds":0.3,"p99_seconds":1.5},"error_ratio":0.5,"last_error":{"at":"2025-10-22T10:31:10Z","type":"upstream-error","status":503,"detail":null},"polls":{"received":80,"upstream":8},"in_flight":1},
{"name":"vessl","provider":"vessl","breaker":"closed","retry_in_seconds":null,"budget":null,"paused_for_seconds":null,
 "latency":{"p50_seconds":4.2,"p99_seconds":9},"error_ratio":0,"last_error":null,"polls":{"received":80,"upstream":8},"in_flight":0}]}`
)

// fleetPollux answers what top asks for.
func fleetPollux(t *testing.T) *scriptedPollux {
	rows := listOf("null", rowOf("shannon/slow", "in_progress", `,"stuck":true`), rowOf("shannon/next", "queued", ""))
	return startPollux(t, func(w http.ResponseWriter, r *http.Request) {
		body, ok := map[string]string{
			"/v1/fleet": fleetAnswer, "/v1/upstreams": upstreamsAnswer,
			"/v1/tasks?terminal=false&sort=created_at&limit=100": rows,
		}[r.RequestURI]
		if !ok || r.Header.Get("Authorization") != "" {
			http.NotFound(w, r)
			return
		}
		tells(body)(w, r)
	})
}

func TestTopOnce(t *testing.T) {
	fleetPollux(t)
	t.Setenv("POLLUX_CREDENTIAL", "one that would hide the fleet")
	got := runWith(t, "", "top", "--once", "--json")
	var all map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || strings.Count(got.stdout, "\n") != 1 || len(all) != 3 {
		t.Errorf("--json: %v, got %+v", err, got)
	}
	got = runWith(t, "", "top", "--once")
	for _, want := range []string{"received 2000, asked upstreams 90, saved 95.5 %", "\norq        cut off 8 s", "\n    12  orq       E_TOOL: the tool", "\nshannon/slow   in_progress"} {
		if got.code != console.ExitOK || !strings.Contains(got.stdout, want) || got.stderr != "" {
			t.Errorf("no %q in %+v\n%s", want, got, got.stdout)
		}
	}
}

func TestTopLine(t *testing.T) {
	want := "2025-10-22T10:31:30Z  tasks 7 (queued 2, in_progress 1, completed 2, failed 2), stuck 1; polls received 2000, upstream 90, saved 95.5 %; " +
		"in trouble: orq cut off 8 s, replicate probing, gumloop paused 2 min, a2a failing, vessl slow"
	if got := lookAt(t).line(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUpstreams(t *testing.T) {
	fleetPollux(t)
	t.Setenv("POLLUX_CREDENTIAL", "one that would hide the fleet")
	got := runWith(t, "", "upstreams")
	if lines := strings.Split(got.stdout, "\n"); got.code != console.ExitOK || len(lines) != 9 || !strings.HasPrefix(lines[1], "orq        cut off 8 s") {
		t.Errorf("got %+v", got)
	}
	if got := runWith(t, "", "upstreams", "--json"); got.stdout != upstreamsAnswer+"\n" || got.code != console.ExitOK {
		t.Errorf("--json: got %+v, want the list as it was sent", got)
	}
	startPollux(t, tells(`{"object":"list","data":[]}`))
	if got := runWith(t, "", "upstreams"); got.stdout != "" || got.stderr != "no upstreams\n" || got.code != console.ExitOK {
		t.Errorf("without any: got %+v", got)
	}
	startPollux(t, tells(`{"object":"fleet"}`))
	if got := runWith(t, "", "upstreams"); got.code != exitUnavailable || !strings.Contains(got.stderr, "is this a Pollux?") {
		t.Errorf("from something else: got %+v", got)
	}
}

// TestTopFits: whatever the size, no line is longer and no more of them shown,
// and each of the tables keeps its place.
func TestTopFits(t *testing.T) {
	o := lookAt(t)
	for _, size := range [][2]int{{1, 1}, {20, 3}, {60, 12}, {80, 24}, {200, 100}} {
		lines := o.screen(plainTerminal(0), size[0], size[1], errors.New("Pollux\x1b[2J cannot be reached"))
		if len(lines) > size[1] {
			t.Errorf("%d lines on a screen of %v", len(lines), size)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > size[0] || strings.Contains(line, "\x1b") {
				t.Errorf("%q on a screen of %v", line, size)
			}
		}
		for _, want := range []string{"cut off 8 s", "SLOWEST TASKS", "shannon/slow"} {
			if size[1] >= 24 && !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("no %q on a screen of %v:\n%s", want, size, strings.Join(lines, "\n"))
			}
		}
	}
}

// lookAt is what fleetPollux shows a minute later.
func lookAt(t *testing.T) *overview {
	t.Helper()
	fleetPollux(t)
	o, err := clientFor(t).look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.at = lookedAt
	return o
}

// clientFor is the client that a command without flags has.
func clientFor(t *testing.T) *client {
	t.Helper()
	f := &connectionFlags{}
	c, err := f.connect(&console.Terminal{Stderr: io.Discard, Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestTopGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fleetPollux(t)
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"top", "--every", "100ms"}, strings.NewReader(""), writer, io.Discard)
	}()
	lines := bufio.NewScanner(reader)
	for range 2 {
		if !lines.Scan() || !strings.Contains(lines.Text(), "tasks 7 ") {
			t.Errorf("got %q, %v", lines.Text(), lines.Err())
		}
	}
	cancel()
	reader.Close()
	if got := <-code; got != exitInterrupted {
		t.Errorf("code %d", got)
	}
}

func TestTopFails(t *testing.T) {
	for name, c := range map[string]struct {
		step   http.HandlerFunc
		stderr string
	}{
		"no scope": {refuses(403, "forbidden", "Not allowed", "the key lacks the scope fleet"), "pollux top: Not allowed (403): the key lacks the scope fleet\n"},
		"no fleet": {tells(`{"object":"task"}`), "no fleet"},
	} {
		t.Run(name, func(t *testing.T) {
			startPollux(t, c.step)
			if got := runWith(t, "", "top"); got.code != exitUnavailable || got.stdout != "" || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("got %+v, want %q", got, c.stderr)
			}
		})
	}
}
