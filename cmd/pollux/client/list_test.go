package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pollux/cmd/pollux/console"
)

// rowOf is a row of the list of tasks.
func rowOf(ref, status, more string) string {
	return fmt.Sprintf(`{"id":"x","upstream":"shannon","provider":"shannon","status":%q,"native_status":null,"terminal":false,"created_at":null,`+
		`"completed_at":null,"updated_at":"2025-10-22T10:30:05.5Z","first_seen":"2025-10-22T10:30:00Z","age":3,"model":null,"ref":%q%s}`, status, ref, more)
}

func listOf(cursor string, rows ...string) string {
	return `{"object":"list","data":[` + strings.Join(rows, ",") + `],"next_cursor":` + cursor + `}`
}

func TestList(t *testing.T) {
	list := listOf(`"abc"`, rowOf("shannon/a b", "failed", `,"error":{"code":"E1"},"stuck":false`), rowOf("orq/a/b\u009b", "queued", `,"error":null,"stuck":true`))
	p := startPollux(t, tells(list))
	got := runWith(t, "", "list", "--upstream", "shannon", "--status", "failed,queued", "--terminal", "false", "--since", "2025-10-22T12:00:00+02:00", "--sort", "-updated_at", "--limit", "2")
	lines := strings.Split(got.stdout, "\n")
	if got.code != console.ExitOK || len(lines) != 4 || !strings.HasPrefix(lines[0], "TASK") || got.stderr != "there are more: --cursor abc\n" ||
		!strings.HasPrefix(lines[1], "shannon/a b") || !strings.HasSuffix(lines[1], "E1") || !strings.HasSuffix(lines[2], "stuck") || strings.Contains(got.stdout, "\u009b") {
		t.Errorf("got %+v", got)
	}
	want := "/v1/tasks?limit=2&since=2025-10-22T10%3A00%3A00Z&sort=-updated_at&status=failed%2Cqueued&terminal=false&upstream=shannon"
	if uri := p.requests()[0].RequestURI; uri != want {
		t.Errorf("asked for %s, want %s", uri, want)
	}
	if got := runWith(t, "", "list", "--json"); got.stdout != list+"\n" || got.stderr != "" {
		t.Errorf("--json: got %+v", got)
	}
	if uri := p.requests()[1].RequestURI; uri != "/v1/tasks" {
		t.Errorf("without filters it asked for %s", uri)
	}
}

func TestListFails(t *testing.T) {
	cases := []struct {
		name   string
		step   http.HandlerFunc
		code   int
		stderr string
	}{
		{"empty", tells(listOf("null")), console.ExitOK, "no tasks\n"},
		{"no list", tells(documentOf("queued", nil)), exitUnavailable, "no list of tasks"},
		{"bad filter", refuses(400, "invalid-request", "The request is malformed", "status wants one of the nine"), console.ExitUsage, "status wants"},
		{"no key", refuses(401, "unauthorized", "No accepted credential", ""), exitUnavailable, "(401)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			startPollux(t, c.step)
			if got := runWith(t, "", "list"); got.code != c.code || got.stdout != "" || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("got %+v, want code %d and %q", got, c.code, c.stderr)
			}
		})
	}
}

func TestListQuery(t *testing.T) {
	now := time.Date(2025, 10, 22, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		name, ref string
		flags     listFlags
		want      url.Values
	}{
		{"an upstream", "orq", listFlags{}, url.Values{"upstream": {"orq"}}},
		{"a task", "orq/my agent/01%2FK", listFlags{upstream: "shannon"}, url.Values{"upstream": {"orq"}, "q": {"01/K"}}},
		{"two hours ago", "", listFlags{since: "2h", until: "2025-10-22T11:30:00.5Z"}, url.Values{"since": {"2025-10-22T10:00:00Z"}, "until": {"2025-10-22T11:30:00.5Z"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.flags.query(c.ref, now); err != nil || got.Encode() != c.want.Encode() {
				t.Errorf("query(%q) = %v, %v, want %v", c.ref, got, err, c.want)
			}
		})
	}
}

func TestListWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first, second := rowOf("shannon/a", "queued", ""), rowOf("shannon/a", "in_progress", `,"stuck":true`)
	other := rowOf("shannon/a", "failed", `,"key":"k2"`) // the same reference under another credential
	p := startPollux(t,
		streams("retry: 1", "event: row", "data: "+first, "", "event: row", "data: "+other, ""),
		// A new connection begins with what is known already.
		func(w http.ResponseWriter, r *http.Request) {
			streams("event: row", "data: "+first, "", "event: row", "data: "+other, "", "event: row", "data: "+second, "")(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"list", "--watch", "--status", "queued,in_progress"}, strings.NewReader(""), writer, io.Discard)
	}()
	want := "2025-10-22T10:30:05Z  queued           shannon/a\n2025-10-22T10:30:05Z  failed           shannon/a\n2025-10-22T10:30:05Z  in_progress      shannon/a  stuck\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	cancel()
	if code := <-code; code != exitInterrupted {
		t.Errorf("code %d", code)
	}
	if r := p.requests()[0]; r.Header.Get("Accept") != "text/event-stream" || r.URL.Query().Get("status") != "queued,in_progress" {
		t.Errorf("asked for %s, accepting %s", r.RequestURI, r.Header.Get("Accept"))
	}
}
