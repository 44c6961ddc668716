package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"pollux/cmd/pollux/console"
)

// streams answers with an event stream of the given lines, and ends it.
func streams(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
	}
}

func TestEventReader(t *testing.T) {
	cases := []struct {
		name, stream string
		want         []string // name:data
		lastID       string
	}{
		{"one", "id: 1\ndata: a\n\n", []string{"message:a"}, "1"},
		{"named, CR LF, no blank", "event:row\r\ndata:b\r\n\r\n", []string{"row:b"}, "before"},
		{"several lines of data", "data: a\ndata\ndata: b\n\n", []string{"message:a\n\nb"}, "before"},
		{"comments and unknown fields", ": beat\n\nfield: x\ndata: a\n\n", []string{"message:a"}, "before"},
		{"cut off", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []string{"message:a"}, "1"},
		{"an id alone", "id: 7\n\n", nil, "7"},
		{"a name does not outlive its event", "event: row\n\ndata: a\n\n", []string{"message:a"}, "before"},
		{"an id with NUL", "id: 1\x002\ndata: a\n\n", []string{"message:a"}, "before"},
		{"a line longer than the buffer", "data: " + strings.Repeat("x", 100) + "\n\n", []string{"message:" + strings.Repeat("x", 100)}, "before"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := &eventReader{r: bufio.NewReaderSize(strings.NewReader(c.stream), 16), alive: func() {}, lastID: "before"}
			var got []string
			for {
				ev, err := e.next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				got = append(got, ev.name+":"+string(ev.data))
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") || e.lastID != c.lastID {
				t.Errorf("%q: got %q and last id %q, want %q and %q", c.stream, got, e.lastID, c.want, c.lastID)
			}
		})
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add("id: 1\nevent: row\nretry: 10\ndata: a\n\n: beat\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		e := &eventReader{r: bufio.NewReaderSize(strings.NewReader(s), 16), alive: func() {}}
		for {
			ev, err := e.next()
			if err != nil {
				break
			}
			if strings.ContainsAny(ev.name+e.lastID, "\n\x00") && !strings.Contains(ev.name, "\x00") || len(ev.data) > len(s) {
				t.Fatalf("%q makes the event %q with the id %q", s, ev, e.lastID)
			}
		}
	})
}

func TestWatch(t *testing.T) {
	queued, running := documentOf("queued", nil), documentOf("in_progress", map[string]any{"progress": map[string]any{"percent": 40}})
	failed := documentOf("failed", map[string]any{"error": map[string]any{"code": nil, "type": "task_failed", "message": "no luck"}})
	steps := []http.HandlerFunc{
		streams("retry: 1", "id: a", "data: "+queued, "", ":", "", "id: b", "data: "+running, ""),
		streams("id: c", "data: "+running, "", "id: d", "data: "+failed, ""),
	}
	p := startPollux(t, steps...)
	got := runWith(t, "", "watch", "shannon/x")
	want := "2025-10-22T10:30:05Z  queued\n2025-10-22T10:30:05Z  in_progress      40 %\n2025-10-22T10:30:05Z  failed           task_failed: no luck\n"
	if got.code != console.ExitOK || got.stdout != want || got.stderr != "" {
		t.Errorf("got %+v, want\n%s", got, want)
	}
	seen := p.requests()
	if len(seen) != 2 || seen[0].Header.Get("Accept") != "text/event-stream" || seen[0].Header.Get("Last-Event-Id") != "" || seen[1].Header.Get("Last-Event-Id") != "b" {
		t.Errorf("asked %d times, the second time with Last-Event-ID %q", len(seen), seen[len(seen)-1].Header.Get("Last-Event-Id"))
	}
	startPollux(t, steps[1])
	if got := runWith(t, "", "watch", "--json", "shannon/x"); got.stdout != running+"\n"+failed+"\n" {
		t.Errorf("--json: got %+v", got)
	}
}

func TestWatchEnds(t *testing.T) {
	queued := documentOf("queued", nil)
	cases := []struct {
		name   string
		steps  []http.HandlerFunc
		code   int
		stderr string
	}{
		{"Pollux has nothing more", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }}, console.ExitOK, ""},
		{"no such task", []http.HandlerFunc{refuses(404, "task-not-found", "No such task", "")}, exitUnavailable, "shannon/x: No such task (404)"},
		{"a problem on the way", []http.HandlerFunc{streams("data: "+queued, "", "event: problem", `data: {"type":"/problems/task-gone","title":"The task is gone","status":410}`, "")},
			exitUnavailable, "shannon/x: The task is gone (410)"},
		{"a problem that would pass, but ends the stream", []http.HandlerFunc{streams("data: "+queued, "", "event: problem", `data: {"title":"Too busy","status":503}`, "")},
			exitUnavailable, "Too busy (503)"},
		{"no stream", []http.HandlerFunc{tells(queued)}, exitUnavailable, "no event stream"},
		{"no document", []http.HandlerFunc{streams("data: {}", "")}, exitUnavailable, "no task document"},
		{"gone after a while", []http.HandlerFunc{streams("data: "+queued, ""), refuses(401, "unauthorized", "No accepted credential", "")}, exitUnavailable, "(401)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			startPollux(t, c.steps...)
			got := runWith(t, "", "watch", "shannon/x")
			if got.code != c.code || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("got %+v, want code %d and %q", got, c.code, c.stderr)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		startPollux(t, func(w http.ResponseWriter, r *http.Request) {
			streams("data: "+queued, "")(w, r)
			w.(http.Flusher).Flush()
			cancel()
			<-r.Context().Done()
		})
		var stdout, stderr strings.Builder
		if code := run(ctx, []string{"watch", "shannon/x"}, strings.NewReader(""), &stdout, &stderr); code != exitInterrupted || stderr.Len() > 0 {
			t.Errorf("code %d, stderr %q", code, &stderr)
		}
	})
}
