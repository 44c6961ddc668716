package poller

import (
	"context"
	"net/http"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"pollux/proxy/poller/upstream"
)

// TestHintDuringAPoll: what was asked for before a hint is learnt, and is stale
// as soon as the provider lets the task be polled again, so that what the hint
// was about is seen.
func TestHintDuringAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "replicate", func(n int64, _ *http.Request) (*http.Response, error) {
			time.Sleep(800 * time.Millisecond)
			if n == 1 {
				return reply(200, `{"id":"j1","status":"processing"}`)
			}
			return reply(200, `{"id":"j1","status":"succeeded","output":"x"}`)
		}, func(c *upstream.Config) {
			c.Inbound = &upstream.InboundConfig{Secret: "whsec_YQ==", SlowPoll: 5 * time.Minute}
			c.Freshness.InProgress = time.Minute
		})
		b.Hint(b.up(), "") // it sends messages
		release, why := b.Watch(b.request("a", "j1"))
		if why != nil {
			t.Fatal(why.Detail)
		}
		defer release()
		time.Sleep(400 * time.Millisecond)
		b.Hint(b.up(), "j1")
		time.Sleep(10 * time.Second)
		b.wantPolls(2)
		if e := b.entry(b.Poll(context.Background(), b.request("a", "j1"))); e.Status != "completed" {
			t.Errorf("what is known is %s", e.Status)
		}
	})
}

// TestWatchedSlowlyWhileMessagesCome: for a day after the last message.
func TestWatchedSlowlyWhileMessagesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "replicate", func(_ int64, req *http.Request) (*http.Response, error) {
			return reply(200, `{"id":"`+path.Base(req.URL.Path)+`","status":"processing"}`)
		}, func(c *upstream.Config) {
			c.Inbound = &upstream.InboundConfig{Secret: "whsec_YQ==", SlowPoll: 5 * time.Minute}
		})
		release, _ := b.Watch(b.request("a", "j1"))
		time.Sleep(time.Minute)
		if n := b.polls.Load(); n < 20 {
			t.Errorf("%d polls in a minute without a message", n)
		}
		b.Hint(b.up(), "")
		time.Sleep(10 * time.Second)
		before := b.polls.Load()
		time.Sleep(time.Hour)
		if n := b.polls.Load() - before; n < 11 || n > 13 {
			t.Errorf("%d polls in the next hour, want one every five minutes", n)
		}
		release()
		time.Sleep(23 * time.Hour)
		before = b.polls.Load()
		release, _ = b.Watch(b.request("a", "j2"))
		defer release()
		time.Sleep(time.Hour)
		if n := b.polls.Load() - before; n < 1000 {
			t.Errorf("%d polls in an hour, a day after the last message", n)
		}
	})
}

// TestHintSparesPolls: while messages come, a job of ten minutes costs a look, a
// slow poll, and the one that its message causes. The same message again causes
// none, nor one about a task that nobody knows.
func TestHintSparesPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newBench(t, "replicate", func(int64, *http.Request) (*http.Response, error) {
			if time.Since(began) < 10*time.Minute {
				return reply(200, `{"id":"j1","status":"processing"}`)
			}
			return reply(200, `{"id":"j1","status":"succeeded","output":"x"}`)
		}, func(c *upstream.Config) {
			c.Inbound = &upstream.InboundConfig{Secret: "whsec_YQ==", SlowPoll: 5 * time.Minute}
		})
		b.Hint(b.up(), "")
		b.poll("a", "j1") // as a webhook's registration does
		release, why := b.Watch(b.request("a", "j1"))
		if why != nil {
			t.Fatal(why.Detail)
		}
		defer release()
		time.Sleep(10*time.Minute - time.Since(began))
		b.Hint(b.up(), "j1")
		b.Hint(b.up(), "unknown")
		time.Sleep(time.Second)
		if e := b.entry(b.poll("a", "j1")); e.Status != "completed" {
			t.Errorf("a second after its message the job is %s", e.Status)
		}
		if n := b.polls.Load(); n > 3 {
			t.Errorf("%d polls of a job of ten minutes", n)
		}
		before := b.polls.Load()
		b.Hint(b.up(), "j1")
		time.Sleep(time.Minute)
		b.wantPolls(before)
	})
}
