package tasks

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// refusing is an engine whose polls are refused.
type refusing struct{ Engine }

func (refusing) Poll(context.Context, poller.Request) poller.Answer {
	return poller.Answer{Problem: &problem.Problem{Type: problem.Unauthorized, Status: 401}}
}

func (refusing) Watch(poller.Request) (func(), *problem.Problem) { return func() {}, nil }

// TestNewsThatMayNotBeShown: the credential of who waits is refused, on behalf of
// another task, when news has come and is not answered with yet.
func TestNewsThatMayNotBeShown(t *testing.T) {
	hub := follow.NewHub()
	s := New(refusing{}, hub, wire.NewLife(t.Context(), nil), nil, nil, nil)
	e := &cache.Entry{Key: cache.ID{1}, Partition: cache.ID{2}, Status: "in_progress", ETag: `W/"a"`}
	f := hub.Follow(&e.Key, &e.Partition)
	defer f.Close()
	hub.Published(e)
	x := &access.Request{}
	x.Begin(&fasthttp.RequestCtx{}, &wire.Settings{}, &access.Rules{})
	x.Ctx.Request.Header.Set("If-None-Match", `W/"b"`)
	if a := s.await(x, nil, options{}, poller.Request{}, poller.Answer{Entry: e}, f, time.Now().Add(time.Minute)); a.Problem == nil || a.Problem.Status != 401 {
		t.Errorf("the wait ends with %+v, want the refusal", a)
	}
}

func TestHistoryIsRenderedExactly(t *testing.T) {
	e := &cache.Entry{Document: []byte(`{"a":1}`), ETag: `W/"x"`, History: []cache.Change{
		{Status: "queued", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Status: "failed", NativeStatus: "B\"AD", At: time.Date(2026, 1, 2, 3, 4, 5, 120e6+313, time.FixedZone("", 3600))},
	}}
	body, etag := extend(e, options{history: true})
	want := `{"a":1,"history":[{"status":"queued","native_status":null,"at":"2026-01-02T03:04:05Z"},{"status":"failed","native_status":"B\"AD","at":"2026-01-02T02:04:05.12Z"}]}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if etag == e.ETag || !strings.HasPrefix(etag, `W/"`) {
		t.Errorf("ETag %s", etag)
	}
}

func FuzzBatch(f *testing.F) {
	for _, s := range []string{`{"tasks":["a/b"]}`, `{"tasks":[{"upstream":"a","id":["b"],"params":{"c":"d"}}],"wait":1,"until":"all"}`, `{"tasks":[],"credentials":{"a":{"b":"c"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBatch(body, 5)
		if err != nil {
			return
		}
		if len(b.tasks) > 5 || !json.Valid(body) {
			t.Errorf("%q passed", body)
		}
		for _, raw := range b.tasks {
			if !json.Valid(raw) {
				t.Errorf("%q: the reference %q is not JSON", body, raw)
			}
		}
	})
}
