package webhooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// tasks is an engine without upstreams: what a poll answers is what a test
// published last.
type tasks struct {
	mu      sync.Mutex
	known   map[cache.ID]*cache.Entry
	problem *problem.Problem // of polls that know nothing
	watched map[cache.ID]int
	full    bool
}

func (e *tasks) Poll(_ context.Context, r poller.Request) poller.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if entry := e.known[r.Key]; entry != nil {
		return poller.Answer{Entry: entry}
	}
	return poller.Answer{Problem: e.problem}
}

func (e *tasks) Watch(r poller.Request) (func(), *problem.Problem) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return nil, &problem.Problem{Type: problem.Overloaded, Status: 503}
	}
	e.watched[r.Key]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.watched[r.Key]--; e.watched[r.Key] == 0 {
			delete(e.watched, r.Key)
		}
	}, nil
}

func (e *tasks) Known(key *cache.ID) *cache.Entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[*key]
}

func (e *tasks) Withholds(*cache.ID) bool { return false }

func (e *tasks) watching() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.watched)
}

// message is one request that a receiver got.
type message struct {
	url                      string
	at                       time.Time
	id, timestamp, signature string
	body                     []byte
}

// receivers answers in place of the network.
type receivers struct {
	mu     sync.Mutex
	got    []message
	answer func(m message) (code int, header http.Header, err error)
}

func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	m := message{url: req.URL.String(), at: time.Now(), id: req.Header.Get("webhook-id"), body: body,
		timestamp: req.Header.Get("webhook-timestamp"), signature: req.Header.Get("webhook-signature")}
	r.mu.Lock()
	r.got = append(r.got, m)
	answer := r.answer
	r.mu.Unlock()
	code, header, err := answer(m)
	if err != nil {
		return nil, err
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader("thanks")), Request: req}, nil
}

func (r *receivers) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message(nil), r.got...)
}

func always(code int) func(message) (int, http.Header, error) {
	return func(message) (int, http.Header, error) { return code, nil, nil }
}

// anything goes.
type anything struct{}

func (anything) Owner(owner string) (string, bool)  { return owner, true }
func (anything) Reaches(string, access.Origin) bool { return true }

// rig is webhooks between an engine and receivers that are not real.
type rig struct {
	*Service
	t         *testing.T
	tasks     *tasks
	receivers *receivers
	outbox    cache.Outbox
	upstream  *upstream.Upstream
	log       *bytes.Buffer
	stop      func()
}

// newRig starts webhooks over outbox. They run until stop is called.
func newRig(t *testing.T, outbox cache.Outbox, r *receivers) *rig {
	t.Helper()
	secret, err := cache.NewSecret(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, receivers: r, outbox: outbox, log: &bytes.Buffer{},
		tasks:    &tasks{known: map[cache.ID]*cache.Entry{}, watched: map[cache.ID]int{}, problem: &problem.Problem{Type: problem.UpstreamTimeout}},
		upstream: &upstream.Upstream{Name: "u", Config: upstream.Config{Reauthorize: 365 * 24 * time.Hour}}}
	resume := func(task *Task, c providers.Credential) (*poller.Request, bool) {
		if c.Zero() {
			return nil, false
		}
		return g.request(task, c), true
	}
	g.Service = New(g.tasks, outbox, secret, resume, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(g.log, nil)))
	g.Use(Prepare(DefaultConfig(), 10_000, "", anything{}))
	st := *g.settings.Load()
	st.plain, st.secure = r, r
	g.settings.Store(&st)
	if err := g.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	g.stop = func() { cancel(); <-done }
	return g
}

func (g *rig) request(task *Task, c providers.Credential) *poller.Request {
	part := &upstream.Partition{ID: task.Partition, Upstream: "u"}
	part.Restore(cache.PartitionState{LastSuccess: time.Now()}, time.Now()) // its credential is accepted
	return &poller.Request{Upstream: g.upstream, Partition: part, Key: task.Key,
		Reference: providers.Reference{Values: task.Values}, Credential: c}
}

var testCredential = providers.Credential{Headers: []providers.Field{{Name: "Authorization", Value: "Bearer tenant-secret"}}}

// register makes a webhook for the tasks with the given keys. A literal
// address needs no lookup.
func (g *rig) register(url string, on []string, keys ...byte) (id, secret string) {
	g.t.Helper()
	r := Registration{URL: url, On: on, Owner: "owner"}
	for _, key := range keys {
		task := Task{Ref: "u/" + string('a'+key), Upstream: "u", Values: []string{"x"}, Key: cache.ID{key}, Partition: cache.ID{0xff}}
		r.Tasks = append(r.Tasks, task)
		r.Requests = append(r.Requests, *g.request(&task, testCredential))
	}
	id, secret, problem := g.Register(g.t.Context(), g.settings.Load(), r)
	if problem != nil {
		g.t.Fatalf("Register: %+v", problem)
	}
	return id, secret
}

const receiverURL = "https://8.8.8.8/hook?token=receiver-secret"

func ended(key byte, status string) *cache.Entry {
	return &cache.Entry{Key: cache.ID{key}, Partition: cache.ID{0xff}, Status: status, Terminal: true, Frozen: true, Ref: "u/x",
		Document:  []byte(`{"object":"task","status":"` + status + `","output":{"text":"ok","data":null,"messages":null},"metadata":{}}`),
		UpdatedAt: time.Date(2025, 10, 22, 10, 30, 0, 0, time.UTC)}
}

func (g *rig) view(id string) *Description {
	g.t.Helper()
	v := g.Describe(id, func(*cache.ID) bool { return true })
	if v == nil {
		g.t.Fatalf("webhook %s is gone", id)
	}
	return v
}

func terminal() []string { return []string{OnTerminal} }

// TestAttemptSchedule: at once, after 5 s, 30 s, 5 min, 30 min, 2 h, then every
// 5 h until a day has passed, each within a tenth.
func TestAttemptSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(500)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		id, _ := g.register(receiverURL, terminal(), 1)
		g.Published(ended(1, "completed"))
		time.Sleep(48 * time.Hour)
		got := r.messages()
		want := []time.Duration{5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
			5 * time.Hour, 5 * time.Hour, 5 * time.Hour, 5 * time.Hour}
		if len(got) < len(want) || len(got) > len(want)+1 {
			t.Fatalf("%d attempts, want about %d", len(got), len(want)+1)
		}
		jittered := false
		for i := 1; i < len(got); i++ {
			pause := got[i].at.Sub(got[i-1].at)
			if off := pause - want[i-1]; off.Abs() > want[i-1]/10+time.Millisecond {
				t.Errorf("pause %d lasted %v, want %v within a tenth", i, pause, want[i-1])
			} else if off != 0 {
				jittered = true
			}
			if got[i].id != got[0].id || !bytes.Equal(got[i].body, got[0].body) {
				t.Errorf("attempt %d differs: %s %s", i, got[i].id, got[i].body)
			}
			if got[i].timestamp == got[i-1].timestamp {
				t.Errorf("attempt %d has an old timestamp", i)
			}
		}
		if !jittered {
			t.Error("all pauses are exact: receivers that come back get everything at once")
		}
		d := g.view(id).Deliveries[0]
		if d.State != DeliveryGaveUp || len(d.Attempts) != len(got) || d.NextAttempt != nil || *d.Attempts[0].StatusCode != 500 {
			t.Errorf("delivery %+v, want given up after %d attempts", d, len(got))
		}
	})
}

func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(204)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		id, secret := g.register(receiverURL, terminal(), 1, 2)
		if n := g.tasks.watching(); n != 2 {
			t.Errorf("%d tasks watched, want 2", n)
		}
		e := ended(1, "completed")
		g.Published(e)
		g.Published(e) // an answer that only got older
		synctest.Wait()
		got := r.messages()
		if len(got) != 1 {
			t.Fatalf("%d messages, want 1", len(got))
		}
		want := `{"type":"task.completed","timestamp":"2025-10-22T10:30:00Z","data":` + string(e.Document) + `}`
		if m := got[0]; m.url != receiverURL || string(m.body) != want || m.signature != signature(t, secret, m) {
			t.Errorf("sent %+v, want body %s", m, want)
		}
		v := g.view(id)
		if v.URL != "https://8.8.8.8/hook" || v.Tasks[0].State != TaskDone || v.Tasks[1].State != TaskWatching || v.Deliveries[0].State != DeliveryDelivered {
			t.Errorf("view %+v", v)
		}
		settling := ended(2, "failed")
		settling.Frozen, settling.Settling = false, true
		g.Published(settling)
		synctest.Wait()
		if n := len(r.messages()); n != 1 {
			t.Errorf("an end that may still change was told")
		}
		g.Published(ended(2, "failed"))
		synctest.Wait()
		if got := r.messages(); len(got) != 2 || !strings.HasPrefix(string(got[1].body), `{"type":"task.failed"`) || got[1].id == got[0].id {
			t.Errorf("messages %+v", got)
		}
		if n := g.tasks.watching(); n != 0 {
			t.Errorf("%d tasks watched after their end", n)
		}
	})
}

// signature is what a receiver computes for m, by Standard Webhooks 1.0.
func signature(t *testing.T, secret string, m message) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		t.Fatalf("a secret of %d bytes, %v", len(key), err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", m.id, m.timestamp, m.body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestKnownEndIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		g.tasks.known[cache.ID{1}] = ended(1, "cancelled")
		g.register(receiverURL, terminal(), 1)
		synctest.Wait()
		if got := r.messages(); len(got) != 1 || !strings.Contains(string(got[0].body), `"task.cancelled"`) {
			t.Errorf("messages %+v", got)
		}
	})
}

// TestMissedEndIsFound: an answer that was known before, and so is published to
// nobody, is found when the tasks are gone through.
func TestMissedEndIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		g.register(receiverURL, terminal(), 1)
		synctest.Wait()
		g.tasks.mu.Lock()
		g.tasks.known[cache.ID{1}] = ended(1, "timed_out")
		g.tasks.mu.Unlock()
		time.Sleep(2 * lookEvery)
		if got := r.messages(); len(got) != 1 || !strings.Contains(string(got[0].body), `"task.timed_out"`) {
			t.Errorf("messages %+v", got)
		}
	})
}

// BenchmarkPublished is what webhooks cost polls of tasks that nobody is to be
// told of: the hook of the write, and the news.
func BenchmarkPublished(b *testing.B) {
	secret, err := cache.NewSecret(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	w := New(&tasks{}, &cache.MemoryOutbox{}, secret, nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	e := ended(1, "completed")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w.caused(e) != nil {
				b.Error("something is to be written")
			}
			w.Published(e)
		}
	})
}

func TestRequiresActionOncePerEntering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		g.register(receiverURL, []string{OnRequiresAction}, 1)
		begin := time.Now()
		publish := func(statuses ...string) {
			e := ended(1, statuses[len(statuses)-1])
			e.Terminal, e.Frozen = e.Status == "completed", e.Status == "completed"
			for i, s := range statuses {
				e.History = append(e.History, cache.Change{Status: s, At: begin.Add(time.Duration(i) * time.Second)})
			}
			g.Published(e)
			synctest.Wait()
		}
		publish("queued")
		publish("queued", "requires_action")
		publish("queued", "requires_action") // told again, as after a restart
		publish("queued", "requires_action", "in_progress")
		publish("queued", "requires_action", "in_progress", "requires_action")
		publish("queued", "requires_action", "in_progress", "requires_action", "completed")
		got := r.messages()
		if len(got) != 2 || got[0].id == got[1].id {
			t.Errorf("%d messages, want 2 of different ids: %+v", len(got), got)
		}
		if n := g.tasks.watching(); n != 0 {
			t.Errorf("%d tasks watched after their end", n)
		}
	})
}

func TestGoneReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(410)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		id, _ := g.register(receiverURL, terminal(), 1, 2)
		g.Published(ended(1, "completed"))
		time.Sleep(24 * time.Hour)
		v := g.view(id)
		if n := len(r.messages()); n != 1 || v.State != "gone" || v.Deliveries[0].State != DeliveryGaveUp || v.Tasks[1].State != TaskDone {
			t.Errorf("%d attempts, view %+v", n, v)
		}
		if n := g.tasks.watching(); n != 0 {
			t.Errorf("%d tasks watched for a receiver that is gone", n)
		}
		r.mu.Lock()
		r.answer = always(200)
		r.mu.Unlock()
		g.Redeliver(id)
		synctest.Wait()
		if v := g.view(id); v.State != "active" || v.Deliveries[0].State != DeliveryDelivered {
			t.Errorf("after redelivery: %+v", v)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		value    string
		min, max time.Duration
	}{
		"seconds":    {"120", 120 * time.Second, 121 * time.Second},
		"too short":  {"1", 4500 * time.Millisecond, 5500 * time.Millisecond}, // pauses grow all the same
		"absurd":     {"99999999999999999999", longestRetryAfter, longestRetryAfter + time.Second},
		"nonsense":   {"soon", 4500 * time.Millisecond, 5500 * time.Millisecond},
		"a date":     {"Sat, 01 Jan 2000 00:10:00 GMT", 10 * time.Minute, 10*time.Minute + time.Second},
		"a past one": {"Fri, 31 Dec 1999 00:00:00 GMT", 4500 * time.Millisecond, 5500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // whose clock starts with the year 2000
				r := &receivers{answer: func(message) (int, http.Header, error) {
					return 503, http.Header{"Retry-After": {c.value}}, nil
				}}
				g := newRig(t, &cache.MemoryOutbox{}, r)
				defer g.stop()
				g.register(receiverURL, terminal(), 1)
				g.Published(ended(1, "completed"))
				time.Sleep(6 * time.Hour)
				got := r.messages()
				if len(got) < 2 {
					t.Fatalf("%d attempts", len(got))
				}
				if pause := got[1].at.Sub(got[0].at); pause < c.min || pause > c.max {
					t.Errorf("paused %v, want %v to %v", pause, c.min, c.max)
				}
			})
		})
	}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		id, old := g.register(receiverURL, terminal(), 1, 2)
		fresh, problem := g.Rotate(t.Context(), id)
		if problem != nil || fresh == old || !strings.HasPrefix(fresh, "whsec_") {
			t.Fatalf("Rotate: %q, %+v", fresh, problem)
		}
		g.Published(ended(1, "completed"))
		synctest.Wait()
		time.Sleep(25 * time.Hour)
		g.Published(ended(2, "completed"))
		synctest.Wait()
		got := r.messages()
		if len(got) != 2 {
			t.Fatalf("%d messages", len(got))
		}
		if want := signature(t, fresh, got[0]) + " " + signature(t, old, got[0]); got[0].signature != want {
			t.Errorf("within a day: signed %q, want %q", got[0].signature, want)
		}
		if want := signature(t, fresh, got[1]); got[1].signature != want {
			t.Errorf("after a day: signed %q, want %q", got[1].signature, want)
		}
	})
}

// TestRestart: what was accepted goes on with another process, which has
// nothing but the outbox; what is in there cannot be read.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := &cache.MemoryOutbox{}
		r := &receivers{answer: func(message) (int, http.Header, error) { return 0, nil, errors.New("refused") }}
		g := newRig(t, outbox, r)
		id, secret := g.register(receiverURL, terminal(), 1, 2)
		g.Published(ended(1, "completed"))
		synctest.Wait()
		g.stop()
		webhooks, deliveries, err := outbox.Webhooks(t.Context())
		if err != nil || len(webhooks) != 1 || len(deliveries) != 1 {
			t.Fatalf("outbox holds %d webhooks, %d deliveries, %v", len(webhooks), len(deliveries), err)
		}
		sealed, err := outbox.DeliveryPayload(t.Context(), deliveries[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, plain := range []string{"tenant-secret", "receiver-secret", "8.8.8.8", "completed", secret[6:]} {
			for what, value := range map[string][]byte{"webhook": webhooks[0].Value, "state": deliveries[0].State, "payload": sealed} {
				if bytes.Contains(value, []byte(plain)) {
					t.Errorf("%s can be read in the stored %s", plain, what)
				}
			}
		}

		r.mu.Lock()
		r.answer = always(200)
		r.mu.Unlock()
		g2 := newRig(t, outbox, r)
		time.Sleep(10 * time.Second)
		got := r.messages()
		if len(got) != 2 || got[0].id != got[1].id || got[1].signature != signature(t, secret, got[1]) {
			t.Errorf("messages %+v, want the same one twice", got)
		}
		if n := g2.tasks.watching(); n != 1 {
			t.Errorf("%d tasks watched after the restart, want the one that goes on", n)
		}
		g2.Published(ended(2, "failed"))
		synctest.Wait()
		if v := g2.view(id); len(v.Deliveries) != 2 || v.Deliveries[1].State != DeliveryDelivered {
			t.Errorf("view %+v", v)
		}
		g2.stop()
		webhooks, _, err = outbox.Webhooks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, err := g2.vault.open(sealedWebhook, id, webhooks[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("tenant-secret")) {
			t.Error("the credential is still there, and nothing is left to poll with it")
		}
		if log := g.log.String() + g2.log.String(); strings.Contains(log, "secret") {
			t.Errorf("log holds a secret: %s", log)
		}
	})
}

// TestSuspended: a refused credential is visible, and holds back what it could
// read until the upstream takes it again.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(500)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		id, _ := g.register(receiverURL, terminal(), 1, 2)
		g.Published(ended(1, "completed"))
		synctest.Wait()
		g.Suspended(&cache.ID{0xff}, &problem.Problem{Type: problem.Unauthorized})
		time.Sleep(time.Hour)
		if n := len(r.messages()); n != 1 {
			t.Errorf("%d attempts, want none while suspended", n-1)
		}
		if v := g.view(id); v.Tasks[1].State != TaskSuspended || v.Tasks[0].Status != nil {
			t.Errorf("view %+v", v)
		}
		r.mu.Lock()
		r.answer = always(200)
		r.mu.Unlock()
		g.Resumed(&cache.ID{0xff})
		time.Sleep(2 * time.Minute)
		if v := g.view(id); v.Tasks[1].State != TaskWatching || v.Deliveries[0].State != DeliveryDelivered {
			t.Errorf("view after the credential was taken: %+v", v)
		}
	})
}

func TestLostTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: always(200)}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		g.tasks.problem = &problem.Problem{Type: problem.TaskNotFound}
		id, _ := g.register(receiverURL, terminal(), 1, 2)
		running := ended(1, "in_progress")
		running.Terminal, running.Frozen = false, false
		g.Published(running)
		notFound := &problem.Problem{Type: problem.TaskNotFound}
		g.Lost(&cache.ID{1}, notFound) // forgotten on request
		g.Lost(&cache.ID{2}, notFound) // not written down yet
		v := g.view(id)
		if v.Tasks[0].State != TaskDone || *v.Tasks[0].Problem != "task-not-found" || v.Tasks[1].State != TaskWatching {
			t.Errorf("view %+v", v)
		}
		time.Sleep(unseenFor + 2*lookEvery)
		if v := g.view(id); v.Tasks[1].State != TaskDone {
			t.Errorf("a task that was never there is still asked for: %+v", v.Tasks[1])
		}
	})
}

// TestDeadReceiversDelayNobody: fifty receivers that never answer, one that
// does.
func TestDeadReceiversDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{}
		r.answer = func(m message) (int, http.Header, error) {
			if strings.Contains(m.url, "tarpit") {
				time.Sleep(15 * time.Second)
				return 0, nil, context.DeadlineExceeded
			}
			return 200, nil, nil
		}
		g := newRig(t, &cache.MemoryOutbox{}, r)
		defer g.stop()
		for i := range 50 {
			g.register(fmt.Sprintf("https://8.8.8.8/tarpit/%d", i), terminal(), 1, 2, 3, 4, 5, 6, 7, 8)
		}
		id, _ := g.register("https://8.8.8.8/well", terminal(), 9)
		for key := range byte(8) {
			g.Published(ended(key+1, "completed"))
		}
		time.Sleep(30 * time.Second) // every worker that they can have is busy
		begin := time.Now()
		g.Published(ended(9, "completed"))
		synctest.Wait()
		if v := g.view(id); v.Deliveries[0].State != DeliveryDelivered || v.Deliveries[0].Attempts[0].At.Sub(begin) > time.Second {
			t.Errorf("the receiver that answers waits: %+v", v.Deliveries[0])
		}
		time.Sleep(10 * time.Minute)
		before := len(r.messages())
		time.Sleep(time.Hour)
		if n := len(r.messages()) - before; n > 50*20 {
			t.Errorf("%d attempts in an hour at receivers that are down", n)
		}
	})
}

func TestRegisterLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &cache.MemoryOutbox{}, &receivers{answer: always(200)})
		defer g.stop()
		st := *g.settings.Load()
		st.maxTasks = 8
		g.settings.Store(&st)
		register := func(partition byte, keys ...byte) *problem.Problem {
			r := Registration{URL: receiverURL, On: terminal()}
			for _, key := range keys {
				task := Task{Upstream: "u", Values: []string{"x"}, Key: cache.ID{partition, key}, Partition: cache.ID{partition}}
				r.Tasks, r.Requests = append(r.Tasks, task), append(r.Requests, *g.request(&task, testCredential))
			}
			_, _, p := g.Register(t.Context(), g.settings.Load(), r)
			return p
		}
		if p := register(1, 1, 2, 3); p == nil || p.Status != 429 {
			t.Errorf("more than a quarter for one partition: %+v, want 429", p)
		}
		for partition := range byte(4) {
			if p := register(partition, 1, 2); p != nil {
				t.Errorf("partition %d: %+v", partition, p)
			}
		}
		if p := register(5, 1); p == nil || p.Status != 503 {
			t.Errorf("more than all: %+v, want 503", p)
		}
		if n := g.tasks.watching(); n != 8 {
			t.Errorf("%d tasks watched, want 8", n)
		}
		g.tasks.full = true
		g.Published(&cache.Entry{Key: cache.ID{1, 1}, Partition: cache.ID{1}, Terminal: true, Frozen: true, Document: []byte("{}")})
		if p := register(6, 1); p == nil {
			t.Error("registered although nothing more can be watched")
		}
	})
}

func TestLargeDocuments(t *testing.T) {
	e := ended(1, "completed")
	text := strings.Repeat("x", maxDocument)
	e.Document = []byte(`{"object":"task","output":{"text":"` + text + `"},"metadata":{"a":12345678901234567890}}`)
	e.Ref = `gumloop/abc?user_id=u`
	var m struct {
		Type string
		Data struct {
			Object    string
			Output    json.RawMessage
			Truncated bool
			Ref, URL  string
			Metadata  json.RawMessage
		}
	}
	body := payload(e, "https://pollux.example")
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if len(body) > 1000 || string(m.Data.Output) != "null" || !m.Data.Truncated || m.Data.Ref != e.Ref ||
		m.Data.URL != "https://pollux.example/v1/tasks/gumloop/abc?user_id=u" || string(m.Data.Metadata) != `{"a":12345678901234567890}` {
		t.Errorf("payload %s", body)
	}
	e.Document = []byte(`{"object":"task","output":null,"metadata":{"a":"` + text + `"}}`)
	if body := payload(e, ""); len(body) > 1000 || !json.Valid(body) {
		t.Errorf("payload of %d bytes: %.200s", len(body), body)
	}
}

// TestSickStore: a message that cannot be stored is sent all the same, and
// stored once that works again.
func TestSickStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := &sickOutbox{}
		r := &receivers{answer: always(200)}
		g := newRig(t, outbox, r)
		defer g.stop()
		id, _ := g.register(receiverURL, terminal(), 1)
		outbox.fail(true)
		if _, p := g.Rotate(t.Context(), id); p == nil {
			t.Error("a secret was given out that nothing will remember")
		}
		if p := g.Delete(t.Context(), id); p == nil {
			t.Error("deleted, and back after the next start")
		}
		g.Published(ended(1, "completed"))
		time.Sleep(3 * time.Second)
		if n := len(r.messages()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
		outbox.fail(false)
		time.Sleep(3 * time.Second)
		if _, deliveries, _ := outbox.Webhooks(t.Context()); len(deliveries) != 1 {
			t.Errorf("%d deliveries stored, want 1", len(deliveries))
		}
		if n := len(r.messages()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

// sickOutbox refuses writes while it is told to.
type sickOutbox struct {
	cache.MemoryOutbox
	mu   sync.Mutex
	sick bool
}

var errSick = errors.New("disk full")

func (o *sickOutbox) fail(sick bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sick = sick
}

func (o *sickOutbox) failing() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sick {
		return errSick
	}
	return nil
}

func (o *sickOutbox) PutWebhook(ctx context.Context, w cache.Webhook) error {
	return errors.Join(o.failing(), o.MemoryOutbox.PutWebhook(ctx, w))
}

func (o *sickOutbox) DeleteWebhook(ctx context.Context, id string) error {
	if err := o.failing(); err != nil {
		return err
	}
	return o.MemoryOutbox.DeleteWebhook(ctx, id)
}

func (o *sickOutbox) AddDelivery(ctx context.Context, d cache.Delivery) error {
	if err := o.failing(); err != nil {
		return err
	}
	return o.MemoryOutbox.AddDelivery(ctx, d)
}
