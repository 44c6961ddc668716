package proxy

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// tracingUpstream answers as shannon, and notes the trace context of each
// request.
type tracingUpstream struct {
	mu   sync.Mutex
	seen []string
	hold chan struct{} // nil: answers at once
}

func (u *tracingUpstream) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.seen = append(u.seen, strings.Join(r.Header["Traceparent"], "|")+" "+strings.Join(r.Header["Tracestate"], "|")+strings.Join(r.Header["X-Request-Id"], "|"))
	u.mu.Unlock()
	if u.hold != nil {
		<-u.hold
	}
	completedShannon(w, r)
}

const (
	sentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	sentSpan  = "00f067aa0ba902b7"
)

func TestTraceOfPoll(t *testing.T) {
	f := newFace(t, nil)
	for _, c := range []struct{ name, parent, state, want string }{
		{"none", "", "", " "},
		{"sampled", "00-" + sentTrace + "-" + sentSpan + "-01", "a=1,b=2", "00-" + sentTrace + "-[0-9a-f]{16}-01 "},
		{"random", "00-" + sentTrace + "-" + sentSpan + "-02", "", "00-" + sentTrace + "-[0-9a-f]{16}-02 "},
		{"unknown flags", "00-" + sentTrace + "-" + sentSpan + "-f1", "", "00-" + sentTrace + "-[0-9a-f]{16}-01 "},
		{"later version", "cc-" + sentTrace + "-" + sentSpan + "-01-more", "", "00-" + sentTrace + "-[0-9a-f]{16}-01 "},
		{"more in version 00", "00-" + sentTrace + "-" + sentSpan + "-01-more", "a=1", " "},
		{"version ff", "ff-" + sentTrace + "-" + sentSpan + "-01", "", " "},
		{"upper case", "00-" + strings.ToUpper(sentTrace) + "-" + sentSpan + "-01", "", " "},
		{"no trace", "00-" + strings.Repeat("0", 32) + "-" + sentSpan + "-01", "", " "},
		{"no span", "00-" + sentTrace + "-" + strings.Repeat("0", 16) + "-01", "", " "},
		{"short", "00-" + sentTrace + "-" + sentSpan, "", " "},
		{"state alone", "", "a=1", " "},
		{"long state", "00-" + sentTrace + "-" + sentSpan + "-00", "a=" + strings.Repeat("x", 511), "00-" + sentTrace + "-[0-9a-f]{16}-00 "},
	} {
		u := &tracingUpstream{}
		f.answer(u.serve)
		headers := []string{key1, "X-Request-ID: mine"}
		if c.parent != "" {
			headers = append(headers, "Traceparent: "+c.parent)
		}
		if c.state != "" {
			headers = append(headers, "Tracestate: "+c.state)
		}
		f.do("GET", "/v1/tasks/shannon/"+strings.ReplaceAll(c.name, " ", "-"), "", headers...).expect(t, 200, nil)
		if len(u.seen) != 1 || !regexp.MustCompile("^"+c.want+"$").MatchString(u.seen[0]) || strings.Contains(u.seen[0], sentSpan) {
			t.Errorf("%s: the upstream saw %q, want one %q", c.name, u.seen, c.want)
		}
	}
}

// TestTraceIsNotKeyed: callers of several traces share a poll and an answer.
func TestTraceIsNotKeyed(t *testing.T) {
	f := newFace(t, nil)
	u := &tracingUpstream{hold: make(chan struct{})}
	f.answer(u.serve)
	parents := []string{"00-" + sentTrace + "-" + sentSpan + "-01", "00-" + strings.Repeat("7", 32) + "-" + sentSpan + "-01"}
	var callers sync.WaitGroup
	for _, parent := range parents {
		callers.Go(func() { f.do("GET", shannonTask, "", key1, "Traceparent: "+parent).expect(t, 200, nil) })
	}
	for f.polls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(u.hold)
	callers.Wait()
	f.do("GET", shannonTask, "", key1, "Traceparent: 00-"+strings.Repeat("8", 32)+"-"+sentSpan+"-01").expect(t, 200, nil)
	if len(u.seen) != 1 {
		t.Errorf("the upstream saw %q, want one poll", u.seen)
	}
	for _, part := range []string{"trace_id=" + sentTrace, "trace_id=" + strings.Repeat("7", 32), "trace_id=" + strings.Repeat("8", 32)} {
		if !strings.Contains(f.log.String(), part) {
			t.Errorf("the log lacks %s", part)
		}
	}
}

func TestRequestID(t *testing.T) {
	f := newFace(t, nil)
	for _, c := range []struct{ sent, want string }{
		{"abc-1.2_Z", "abc-1[.]2_Z"},
		{"", "[A-Z2-7]{16}"},
		{"not plain", "[A-Z2-7]{16}"},
		{strings.Repeat("x", 65), "[A-Z2-7]{16}"},
		{strings.TrimPrefix(key1, "X-API-Key: "), "[A-Z2-7]{16}"}, // the credential itself
		{"tok-en", "[A-Z2-7]{16}"},
		{"in-query", "[A-Z2-7]{16}"},
	} {
		headers := []string{key1, "Authorization: Bearer tok-en"}
		if c.sent != "" {
			headers = append(headers, "X-Request-ID: "+c.sent)
		}
		a := f.do("GET", "/v1/tasks/nope/t?api_key=in-query", "", headers...)
		a.expect(t, 404, map[string]string{"X-Request-Id": c.want})
		if id := a.Header.Get("X-Request-Id"); !strings.Contains(f.log.String(), "request_id="+id) {
			t.Errorf("the log has no request %s", id)
		}
	}
	f.do("GET", shannonTask, "", key1).expect(t, 200, map[string]string{"X-Request-Id": ""})
}
