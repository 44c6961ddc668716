package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// TestSecondNeed: what a task wants next is another event, though its status
// stays; the same want, told again, is not.
func TestSecondNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		g.register(receiverURL, []string{OnRequiresAction}, 1)
		var history []cache.Change
		wants := func(call, word, asks string) {
			if n := len(history); n == 0 || history[n-1].NativeStatus != word {
				history = append(history, cache.Change{Status: OnRequiresAction, NativeStatus: word, At: time.Now()})
			}
			time.Sleep(time.Second)
			e := ended(1, OnRequiresAction)
			e.Terminal, e.Frozen, e.NativeStatus = false, false, word
			e.Document = fmt.Appendf(nil, `{"object":"task","status":"requires_action","required_action":{"type":"tool_calls","tool_calls":[{"id":%q}]},"output":{"text":%q},"metadata":{}}`, call, asks)
			e.History = slices.Clone(history)
			g.Published(e)
			synctest.Wait()
		}
		for i, c := range []struct {
			call, word, asks string
			told             int
		}{
			{"A", "INPUT_REQUIRED", "which?", 1}, {"A", "INPUT_REQUIRED", "which?", 1}, {"B", "INPUT_REQUIRED", "which?", 2},
			{"B", "AUTH_REQUIRED", "which?", 3}, {"B", "AUTH_REQUIRED", "which?", 3}, {"B", "INPUT_REQUIRED", "which?", 4},
			{"B", "INPUT_REQUIRED", "when?", 5}, {"B", "INPUT_REQUIRED", "when?", 5},
		} {
			if wants(c.call, c.word, c.asks); len(r.messages()) != c.told {
				t.Fatalf("step %d, %+v: %d messages", i, c, len(r.messages()))
			}
		}
	})
}

// TestTruncatedIsShort whatever member is large.
func TestTruncatedIsShort(t *testing.T) {
	large := strings.Repeat("\\u00e9x", 200<<10)
	const document = `{"object":"task","id":"t","status":"failed","native_status":%s,"status_reason":%s,"progress":{"percent":1,"stage":%s},` +
		`"output":%s,"required_action":%s,"error":%s,"usage":%s,"model":%s,"metadata":%s}`
	small := []any{`"w"`, `null`, `null`, `{"text":"x"}`, `null`, `null`, `{"input_tokens":1}`, `"m"`, `{"a":1}`}
	for i, member := range []string{
		`"` + large + `"`, `"` + large + `"`, `"` + large + `"`, `{"text":"` + large + `"}`, `{"type":"tool_calls","tool_calls":[{"arguments":"` + large + `"}]}`,
		`{"code":"c","type":"t","message":"` + large + `"}`, `{"x":"` + large + `"}`, `"` + large + `"`, `{"a":"` + large + `"}`,
	} {
		values := append([]any{}, small...)
		values[i] = member
		e := ended(1, "failed")
		e.Document = fmt.Appendf(nil, document, values...)
		body := payload(e, "https://pollux.example")
		var m struct {
			Data struct {
				Truncated bool
				Output    json.RawMessage
				Error     *struct{ Code, Message string }
			}
		}
		if err := json.Unmarshal(body, &m); err != nil || len(body) > maxDocument || !m.Data.Truncated || string(m.Data.Output) != "null" {
			t.Errorf("member %d: %d bytes, %v: %.300s", i, len(body), err, body)
		}
		if i == 5 && (m.Data.Error.Code != "c" || !strings.HasPrefix(m.Data.Error.Message, "\u00e9x")) {
			t.Errorf("the error lost more than the end of its message: %.300s", body)
		}
	}
}

// sick is an outbox whose payloads cannot be read.
type sick struct {
	cache.MemoryOutbox
	mu     sync.Mutex
	broken bool
}

func (s *sick) DeliveryPayload(ctx context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, errors.New("disk I/O error")
	}
	return s.MemoryOutbox.DeliveryPayload(ctx, id)
}

func (s *sick) set(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

// TestUnreadMessage: what our own store does not give is no failure of the
// receiver, and is sent when the store is well.
func TestUnreadMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := &sick{broken: true}
		r := &receivers{answer: always(200)}
		g := newRig(t, outbox, r)
		defer g.stop()
		id, _ := g.register(receiverURL, []string{OnTerminal}, 1)
		g.Published(ended(1, "completed"))
		time.Sleep(time.Hour)
		all := func(*cache.ID) bool { return true }
		if v := g.Describe(id, all); len(v.Deliveries) != 1 || v.Deliveries[0].State != DeliveryPending || len(v.Deliveries[0].Attempts) > 0 {
			t.Errorf("while the store is sick: %+v", v.Deliveries)
		}
		outbox.set(false)
		time.Sleep(2 * unreadFor)
		if v := g.Describe(id, all); v.Deliveries[0].State != DeliveryDelivered || len(r.messages()) != 1 {
			t.Errorf("when it is well: %+v, %d messages", v.Deliveries, len(r.messages()))
		}
	})
}

// discard answers 200 and keeps nothing.
type discard struct{ n sync.WaitGroup }

func (d *discard) RoundTrip(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	d.n.Done()
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
}

// TestOnePayloadPerEvent: a thousand webhooks on one large task take the memory of
// one message.
func TestOnePayloadPerEvent(t *testing.T) {
	const webhooks, size = 1000, 250 << 10
	g := newRig(t, &cache.MemoryOutbox{}, &receivers{answer: always(200)})
	defer g.stop()
	d := &discard{}
	st := *g.settings.Load()
	st.plain, st.secure = d, d
	g.settings.Store(&st)
	for i := range webhooks {
		g.register(fmt.Sprintf("https://8.8.8.8/%d", i), []string{OnTerminal}, 1)
	}
	d.n.Add(webhooks)
	e := ended(1, "completed")
	e.Document = []byte(`{"object":"task","status":"completed","output":{"text":"` + strings.Repeat("x", size) + `"},"metadata":{}}`)
	var before, after, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	g.Published(e)
	d.n.Wait()
	runtime.ReadMemStats(&most)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d KiB more are held", grown>>10)
	}
	if made := most.TotalAlloc - before.TotalAlloc; made > 64<<20 {
		t.Errorf("%d MiB were allocated for messages of %d KiB, want the memory of a few", made>>20, size>>10)
	}
}

// slowTasks holds some of the polls until told otherwise.
type slowTasks struct {
	*tasks
	slow func(r *poller.Request) bool
	hold chan struct{}
}

func (s *slowTasks) Poll(ctx context.Context, r poller.Request) poller.Answer {
	if s.slow(&r) {
		select {
		case <-s.hold:
		case <-ctx.Done():
		}
	}
	return s.tasks.Poll(ctx, r)
}

// TestFirstLooks: hundreds of webhooks whose tasks are slow to ask for do not delay
// the first look of another upstream's, nor of another credential's, whatever the
// many select with theirs.
func TestFirstLooks(t *testing.T) {
	other := cache.ID{2}
	for name, c := range map[string]struct {
		upstream   string // of the other task
		selections byte   // partitions of the credential with the many
		slow       func(r *poller.Request) bool
	}{
		"of another upstream":   {"quick", 1, func(r *poller.Request) bool { return r.Upstream.Name == "slow" }},
		"of another credential": {"slow", 32, func(r *poller.Request) bool { return r.Key != other }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receivers{answer: always(200)}
				g := newRig(t, &cache.MemoryOutbox{}, r)
				defer g.stop()
				hold := make(chan struct{})
				g.Service.engine = &slowTasks{tasks: g.tasks, slow: c.slow, hold: hold}
				defer close(hold)
				many := &upstream.Partition{ID: cache.ID{0xff}}
				request := func(task *Task, c providers.Credential) *poller.Request {
					r := g.request(task, c)
					if r.Upstream = (&upstream.Upstream{Name: task.Upstream}); task.Key != other {
						r.Partition.Under(many)
					}
					return r
				}
				g.Service.resume = func(task *Task, c providers.Credential) (*poller.Request, bool) { return request(task, c), true }
				register := func(upstream string, key, partition cache.ID) {
					task := Task{Ref: upstream + "/x", Upstream: upstream, Values: []string{"x"}, Key: key, Partition: partition}
					if _, _, why := g.Register(t.Context(), g.settings.Load(), Registration{URL: receiverURL, On: terminal(),
						Tasks: []Task{task}, Requests: []poller.Request{*request(&task, testCredential)}}); why != nil {
						t.Fatal((*problem.Problem)(why))
					}
				}
				for i := range 320 {
					register("slow", cache.ID{1, byte(i), byte(i >> 8)}, cache.ID{0xff, 1 + byte(i)%c.selections})
				}
				synctest.Wait()
				g.tasks.mu.Lock()
				g.tasks.known[other] = ended(2, "completed")
				g.tasks.mu.Unlock()
				register(c.upstream, other, cache.ID{0xfe})
				synctest.Wait()
				if n := len(r.messages()); n != 1 {
					t.Errorf("%d messages, want that of the other's task, which had ended", n)
				}
			})
		})
	}
}
