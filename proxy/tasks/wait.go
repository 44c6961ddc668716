package tasks

import (
	"context"
	"strconv"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

var (
	headerPreferenceApplied = []byte("Preference-Applied")
)

// waitWanted is how long the caller wants to wait: by ?wait=, else by
// Prefer: wait (RFC 7240, section 4.3), cut down to limits.wait. 0: not at all.
func waitWanted(x *access.Request, o options) time.Duration {
	d := o.wait
	if !o.waits {
		d, _ = parseWait(x.Preferred("wait"))
	}
	return min(d, x.Settings.Limits.Wait)
}

// serveWait answers a poll once there is something to tell, at the latest
// after the given time.
func (s *Service) serveWait(x *access.Request, t *access.Upstream, part *upstream.Partition, o options, d wire.Directives, wait time.Duration) {
	if !d.NoCache {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.Key, x.Now); ok && !goesOn(&a) && (a.Problem != nil || satisfied(x, o, a.Entry)) {
			o.waited = true
			preferenceApplied(x, wait)
			s.answer(x, t, part, o, &a)
			return
		}
	}
	if wire.HeldBack(x.Ctx) { // an answer before this one is still in the buffer, and would wait too
		s.poll(x, t, part, o, d)
		return
	}
	leave, p := s.waits.Enter(&x.PartitionID, x.Settings.Limits.WaitsPerPartition, 0)
	if p != nil {
		x.Problem(p)
		return
	}
	defer leave()
	deadline := x.Now.Add(wait)
	follower := s.hub.Follow(&x.Key, &x.PartitionID)
	defer follower.Close()
	r := x.PollRequest(t, part, d)
	a := s.engine.Poll(context.Background(), r)
	if goesOn(&a) || a.Problem == nil && !satisfied(x, o, a.Entry) {
		a = s.await(x, t, o, r, a, follower, deadline)
	}
	x.Now = time.Now()
	o.waited = true
	preferenceApplied(x, wait)
	s.answer(x, t, part, o, &a)
}

func preferenceApplied(x *access.Request, wait time.Duration) {
	x.Header = strconv.AppendInt(append(x.Header[:0], "wait="...), int64(wait/time.Second), 10)
	x.SetHeader(headerPreferenceApplied, x.Header)
}

// satisfied reports whether e is what the caller waits for: a document that
// differs from the one it has, or without one, a task that has ended or wants
// something. What can never change any more is not waited for either.
func satisfied(x *access.Request, o options, e *cache.Entry) bool {
	if have := x.IfNoneMatch(); len(have) > 0 {
		return e.Frozen || !wire.Matches(have, o.validator(e))
	}
	return follow.Over(e)
}

// goesOn reports whether what is followed may come back, though a poll has just
// denied it.
func goesOn(a *poller.Answer) bool { return a.Problem != nil && a.Unconfirmed }

// validator is the ETag of what is answered with e.
func (o options) validator(e *cache.Entry) string {
	if o.native || o.history {
		_, etag := extend(e, o)
		return etag
	}
	return e.ETag
}

// await follows the task until the caller is satisfied, the deadline passes,
// the caller leaves or the server shuts down, and returns the latest answer.
func (s *Service) await(x *access.Request, t *access.Upstream, o options, r poller.Request, a poller.Answer, f *follow.Follower, deadline time.Time) poller.Answer {
	release, p := s.engine.Watch(r)
	if p != nil {
		return poller.Answer{Problem: p}
	}
	defer release()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	g := x.Grant(access.ScopeRead, t)
	look := time.NewTicker(wire.LookForClient)
	defer look.Stop()
	latest := func() poller.Answer {
		if a.Entry == nil {
			return a
		}
		return s.untilNow(r, a.Entry)
	}
	for {
		select {
		case <-f.Wake():
			news := f.Take()
			if news == nil {
				continue
			}
			if news.Problem != nil {
				return poller.Answer{Problem: news.Problem}
			}
			if a = s.untilNow(r, news.Entry); a.Problem != nil || satisfied(x, o, a.Entry) {
				return a
			}
		case <-g.Replaced():
			if p, _ := g.Renew(); p != nil {
				return poller.Answer{Problem: p}
			}
		case <-timer.C:
			return latest()
		case <-s.life.Ending:
			return latest()
		case <-look.C:
			if x.Left() {
				return latest()
			}
		}
	}
}

// untilNow is the answer to r after a wait, the last news of which was e.
func (s *Service) untilNow(r poller.Request, e *cache.Entry) poller.Answer {
	r.Told = e
	return s.engine.Poll(context.Background(), r)
}
