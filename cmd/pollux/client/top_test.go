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

const (
	fleetAnswer = `{"object":"fleet","at":"2025-10-22T10:30:00Z",
"tasks":{"total":7,"stuck":1,"by_status":{"queued":2,"in_progress":1,"requires_action":0,"unknown":0,"completed":4,"incomplete":0,"failed":0,"cancelled":0,"timed_out":0},
 "by_upstream":{"shannon":{"queued":2,"in_progress":1,"completed":4}}},
"polls":{"received":2000,"upstream":90,"saved":{"total":1910,"hit":1500,"collapsed":400,"stale":10,"not_modified":3},"rate_limits_avoided":12},
"durations":{"shannon":{"p50_seconds":1.25,"p95_seconds":90,"samples":4}},"oldest":null,
"history":{"step_seconds":10,"by_status":{},"polls_received":[],"polls_upstream":[]},"failures":[]}`
	upstreamsAnswer = `{"object":"list","data":[
{"name":"orq","provider":"orq","breaker":"open","retry_in_seconds":8,"budget":{"limit":100,"per_seconds":60,"left":40},"paused_for_seconds":null,
 "latency":{"p50_seconds":null,"p99_seconds":null},"error_ratio":0.5,"last_error":{"at":"2025-10-22T10:29:00Z","type":"upstream-error","status":502,"detail":"x"},"polls":{"received":0,"upstream":0},"in_flight":0},
{"name":"shannon","provider":"shannon","breaker":"closed","retry_in_seconds":null,"budget":null,"paused_for_seconds":null,
 "latency":{"p50_seconds":0.012,"p99_seconds":1.5},"error_ratio":0,"last_error":null,"polls":{"received":123456789,"upstream":90},"in_flight":2}]}`
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
	got := runWith(t, "", "top", "--once")
	_, line, _ := strings.Cut(got.stdout, "  ")
	want := "tasks 7 (queued 2, in_progress 1, completed 4), stuck 1; polls received 2000, upstream 90, saved 95.5 %; in trouble: orq open 8s\n"
	if got.code != console.ExitOK || line != want || got.stderr != "" {
		t.Errorf("got %+v, want %q", got, want)
	}
	got = runWith(t, "", "top", "--once", "--json")
	var all map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || strings.Count(got.stdout, "\n") != 1 || len(all) != 3 {
		t.Errorf("--json: %v, got %+v", err, got)
	}
}

func TestTopScreen(t *testing.T) {
	fleetPollux(t)
	c := clientFor(t)
	o, err := c.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.at = time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC).Add(90 * time.Second)
	want := `pollux  10:31:30  7 tasks, 1 stuck  q ends
tasks   queued 2, in_progress 1, completed 4
polls   received 2000, upstream 90, saved 95.5 %, rate limits avoided 12

UPSTREAM      STATE        RUNNING     POLLS    ASKED   ERRORS     P50     P99     BUDGET  TASKS P50/P95  LAST ERROR
orq           open 8s            0         0        0   50.0 %       -       -     40/100            -/-  upstream-error 502, 2m ago
shannon       closed             3    123.5M       90    0.0 %    12ms    1.5s          -        1.2s/1m

SLOWEST TASKS                                                                                  STATUS             RUNS FOR  MODEL
shannon/slow                                                                                   in_progress              1m                    stuck
shannon/next                                                                                   queued                   1m`
	if got := strings.Join(o.screen(150, 40, nil), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, size := range [][2]int{{1, 1}, {20, 3}, {80, 24}} {
		lines := o.screen(size[0], size[1], errors.New("Pollux\x1b[2J cannot be reached"))
		if len(lines) > size[1] {
			t.Errorf("%d lines on a screen of %v", len(lines), size)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > size[0] || strings.Contains(line, "\x1b") {
				t.Errorf("%q on a screen of %v", line, size)
			}
		}
	}
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
