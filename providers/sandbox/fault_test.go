package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pollux/providers"
)

// listen serves s on a real socket until the test ends.
func listen(t *testing.T, s *Server) (base string, client *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(s)
	server.Start()
	t.Cleanup(server.Close)
	client = server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return BaseURL(strings.TrimPrefix(server.URL, "http://"), "shannon"), client
}

// fetched is what a client got of one answer.
type fetched struct {
	code   int
	header http.Header
	body   string
	err    error // of the request or of reading the body
}

func fetch(ctx context.Context, client *http.Client, url string, header ...string) fetched {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return fetched{err: err}
	}
	r.Header.Set("X-Api-Key", "key")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return fetched{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return fetched{response.StatusCode, response.Header, string(body), err}
}

func TestFaultsOverASocket(t *testing.T) {
	set := builtin(t)
	s := newServer(t, set, Options{})
	base, client := listen(t, s)
	id, err := s.Create("shannon", nil, "key", "stuck")
	if err != nil {
		t.Fatal(err)
	}
	judge := func(f fetched) providers.Kind {
		ref := providers.Reference{Values: []string{id}}
		return set.Get("shannon").Judge(ref, f.code, f.header, []byte(f.body), time.Now()).Kind
	}
	tests := []struct {
		fault Fault
		check func(f fetched) bool
	}{
		{Fault{Kind: "500"}, func(f fetched) bool { return f.code == 500 && strings.Contains(f.body, "database error") }},
		{Fault{Kind: "503", Delay: 30 * time.Second}, func(f fetched) bool { return f.code == 503 && f.header.Get("Retry-After") == "30" }},
		{Fault{Kind: "429", Delay: 7 * time.Second}, func(f fetched) bool {
			return f.header.Get("Retry-After") == "7" && judge(f) == providers.RateLimited
		}},
		{Fault{Kind: "502"}, func(f fetched) bool { return f.code == 502 && judge(f) == providers.BadAnswer }},
		{Fault{Kind: Cut}, func(f fetched) bool { return f.code == 200 && errors.Is(f.err, io.ErrUnexpectedEOF) && f.body != "" }},
		{Fault{Kind: Reset}, func(f fetched) bool { return errors.Is(f.err, syscall.ECONNRESET) || errors.Is(f.err, io.EOF) }},
		{Fault{Kind: Hang, Delay: 20 * time.Millisecond}, func(f fetched) bool { return errors.Is(f.err, io.EOF) }},
		{Fault{Kind: HTML}, func(f fetched) bool { return f.code == 200 && judge(f) == providers.BadAnswer }},
		{Fault{Kind: Garbage}, func(f fetched) bool { return f.code == 200 && judge(f) == providers.BadAnswer }},
		{Fault{Kind: Foreign}, func(f fetched) bool { return f.code == 200 && judge(f) == providers.BadAnswer }},
		{Fault{Kind: Redirect}, func(f fetched) bool { return f.code == 302 && judge(f) == providers.BadAnswer }},
		{Fault{Kind: Latency, Delay: time.Millisecond}, func(f fetched) bool { return judge(f) == providers.Answered }},
		{Fault{Kind: "500", Route: "create"}, func(f fetched) bool { return judge(f) == providers.Answered }},
		{Fault{Kind: "500", Provider: "orq"}, func(f fetched) bool { return judge(f) == providers.Answered }},
	}
	for _, test := range tests {
		if err := s.AddFault(test.fault); err != nil {
			t.Fatal(err)
		}
		if got := fetch(t.Context(), client, base+"/api/v1/tasks/"+id); !test.check(got) {
			t.Errorf("%+v: %d %v %q, %v", test.fault, got.code, got.header, got.body, got.err)
		}
		s.ClearFaults("")
	}
	if got := fetch(t.Context(), client, base+"/api/v1/tasks/"+id, FaultHeader, "503"); got.code != 503 {
		t.Errorf("by header: %d, want 503", got.code)
	}
	if got := fetch(t.Context(), client, base+"/api/v1/tasks/"+id, FaultHeader, "nonsense"); judge(got) != providers.Answered {
		t.Errorf("by an unknown header: %d, want an answer", got.code)
	}
}

// A fault of the connection comes after the request was obeyed: what was
// created exists although its creator never learned of it.
func TestResetAfterCreate(t *testing.T) {
	s := newServer(t, builtin(t), Options{}, Fault{Kind: Reset, Route: "create"})
	base, client := listen(t, s)
	r, _ := http.NewRequestWithContext(t.Context(), "POST", base+"/api/v1/tasks", strings.NewReader(`{"query": "q"}`))
	r.Header.Set("X-Api-Key", "key")
	if response, err := client.Do(r); err == nil {
		response.Body.Close()
		t.Errorf("create: %d, want a reset", response.StatusCode)
	}
	if got := s.Stats().Upstreams["shannon"]; got.Creates != 1 || got.Tasks != 1 || got.Faulted != 1 {
		t.Errorf("stats %+v, want one create, task and fault", got)
	}
}

func TestHangEndsWithTheCaller(t *testing.T) {
	s := newServer(t, builtin(t), Options{}, Fault{Kind: Hang})
	base, client := listen(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := fetch(ctx, client, base+"/api/v1/tasks/x"); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("hang: %d %v, want the caller's deadline", got.code, got.err)
	}
}

func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := builtin(t)
		s := newServer(t, set, Options{}, Fault{Kind: Latency, Delay: 2 * time.Second}, Fault{Kind: Latency, Delay: time.Second}, Fault{Kind: "503"})
		c := caller{t, s, set.Get("vessl"), "key"}
		start := time.Now()
		_, w := c.poll("nosuchtask")
		if took := time.Since(start); took != 3*time.Second || w.Code != 503 {
			t.Errorf("%d after %s, want 503 after 3s", w.Code, took)
		}
	})
}

func TestFaultRatioAndEnd(t *testing.T) {
	clock := newClock()
	set := builtin(t)
	s := newServer(t, set, Options{Seed: 1, Now: clock.now}, Fault{Kind: "500", Ratio: 0.3, For: time.Minute})
	c := caller{t, s, set.Get("vessl"), "key"}
	id, err := s.Create("vessl", nil, "key", "stuck")
	if err != nil {
		t.Fatal(err)
	}
	failed := func() (n int) {
		for range 1000 {
			if _, w := c.poll(id); w.Code == 500 {
				n++
			}
		}
		return n
	}
	if got := failed(); got < 250 || got > 350 {
		t.Errorf("%d of 1000 failed, want about 300", got)
	}
	clock.pass(time.Minute)
	if got := failed(); got != 0 {
		t.Errorf("%d of 1000 failed after the fault's end", got)
	}
}

func TestBadFaults(t *testing.T) {
	s := newServer(t, builtin(t), Options{})
	for _, f := range []Fault{
		{}, {Kind: "fire"}, {Kind: "200"}, {Kind: "600"}, {Kind: Cut, Ratio: 1.5}, {Kind: Cut, Ratio: -1},
		{Kind: Hang, Delay: -1}, {Kind: Cut, For: -1}, {Kind: Cut, Route: "side"}, {Kind: Cut, Provider: "nobody"},
	} {
		if s.AddFault(f) == nil {
			t.Errorf("AddFault(%+v) = nil, want an error", f)
		}
	}
}
