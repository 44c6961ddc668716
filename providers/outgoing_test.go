package providers

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pollux/providers/format"
)

// wire sends req to a server that keeps what it reads, and returns it, its
// lines joined by "|".
func wire(t *testing.T, build func(base *url.URL) (*http.Request, error)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	read := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			read <- err.Error()
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		var lines []string
		length := 0
		for {
			line, err := r.ReadString('\n')
			line = strings.TrimRight(line, "\r\n")
			if err != nil || line == "" {
				break
			}
			if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				for _, c := range value {
					length = length*10 + int(c-'0')
				}
			}
			lines = append(lines, line)
		}
		body := make([]byte, length)
		io.ReadFull(r, body)
		if length > 0 {
			lines = append(lines, string(body))
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		read <- strings.Join(lines, "|")
	}()
	req, err := build(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return strings.Replace(<-read, listener.Addr().String(), "upstream", 1)
}

func TestPollRequestOnTheWire(t *testing.T) {
	const rest = " HTTP/1.1|Host: upstream|User-Agent: pollux|Accept: application/json|Accept-Encoding: gzip"
	bearer := Credential{Headers: []Field{{"Authorization", "Bearer k"}}}
	tests := []struct {
		name, provider, prefix string
		values                 []string
		credential             Credential
		want                   string
	}{
		{"plain", "shannon", "", []string{"task-1"}, Credential{}, "GET /api/v1/tasks/task-1" + rest},
		{"prefix kept", "vessl", "/api/v1/services/a%2Fb/", []string{"abc"}, bearer,
			"GET /api/v1/services/a%2Fb/async/abc/output HTTP/1.1|Host: upstream|User-Agent: pollux|Accept: application/json|Accept-Encoding: gzip|Authorization: Bearer k"},
		{"slash and blank stay escaped", "orq", "", []string{"my agent/x", "01K6"}, Credential{}, "GET /v2/agents/my%20agent%2Fx/responses/01K6" + rest},
		{"no second meaning", "orq", "", []string{"a?b#c%2Fd;e", "é"}, Credential{}, "GET /v2/agents/a%3Fb%23c%252Fd%3Be/responses/%C3%A9" + rest},
		{"colon", "shannon", "", []string{"a:b"}, Credential{}, "GET /api/v1/tasks/a:b" + rest},
		{"query in the order of the file", "gumloop-flow", "/api/v1", []string{"r", "u+v", "p&q"}, Credential{}, "GET /api/v1/get_pl_run?run_id=r&user_id=u%2Bv&project_id=p%26q" + rest},
		{"not sent", "aitronos", "", []string{"r", ""}, Credential{}, "GET /v1/model/response/r" + rest},
		{"key in the query", "gumloop", "", []string{"i", "u", ""}, Credential{Query: []Field{{"api_key", "k%2B&x=1#y z"}}},
			"GET /agent_status/i?user_id=u&api_key=k%2B%26x=1%23y%20z" + rest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := wire(t, func(base *url.URL) (*http.Request, error) {
				base, err := format.ParseBaseURL(base.String() + test.prefix)
				if err != nil {
					return nil, err
				}
				return builtins(t).Get(test.provider).PollRequest(t.Context(), base, Reference{test.values}, test.credential)
			})
			if sortedHead(got) != sortedHead(test.want) {
				t.Errorf("on the wire\n%s, want\n%s", got, test.want)
			}
		})
	}
}

// sortedHead leaves the request line and the set of the other lines.
func sortedHead(s string) string {
	line, rest, _ := strings.Cut(s, "|")
	seen := map[string]int{}
	for _, l := range strings.Split(rest, "|") {
		seen[l]++
	}
	var b strings.Builder
	b.WriteString(line)
	for _, name := range []string{"Host: upstream", "User-Agent: pollux", "Accept: application/json", "Accept-Encoding: gzip"} {
		if seen[name] == 1 {
			b.WriteString("|" + name)
			delete(seen, name)
		}
	}
	for l := range seen {
		b.WriteString("|" + l)
	}
	return b.String()
}

func TestPollRequestWantsEveryValue(t *testing.T) {
	_, err := builtins(t).Get("orq").PollRequest(context.Background(), &url.URL{Scheme: "http", Host: "h"}, Reference{[]string{"a"}}, Credential{})
	if err == nil {
		t.Error("PollRequest accepts a reference with too few values")
	}
}

func TestCancelRequestOnTheWire(t *testing.T) {
	tests := []struct {
		provider string
		values   []string
		want     []string
	}{
		{"aitronos", []string{"r", "o"}, []string{"DELETE /v1/model/response/r?organizationId=o HTTP/1.1"}},
		{"shannon", []string{"t"}, []string{"POST /api/v1/tasks/t/cancel HTTP/1.1", "Content-Type: application/json", "Content-Length: 2", "{}"}},
		{"gumloop-flow", []string{"r", "u", ""}, []string{"POST /kill_pipeline HTTP/1.1", "Content-Type: application/json", `{"run_id":"r","user_id":"u"}`}},
	}
	for _, test := range tests {
		got := wire(t, func(base *url.URL) (*http.Request, error) {
			return builtins(t).Get(test.provider).CancelRequest(t.Context(), base, Reference{test.values}, Credential{})
		})
		for _, line := range test.want {
			if !strings.Contains("|"+got+"|", "|"+line+"|") {
				t.Errorf("%s: on the wire %s, want %s in it", test.provider, got, line)
			}
		}
	}
}
