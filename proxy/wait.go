package proxy

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/poller"
	"pollux/proxy/push"
)

// lookForClient is how often somebody who waits is checked for having left.
const lookForClient = time.Second

var (
	headerPrefer            = []byte("Prefer")
	headerPreferenceApplied = []byte("Preference-Applied")
)

// waitWanted is how long the caller wants to wait: by ?wait=, else by
// Prefer: wait (RFC 7240, section 4.3), cut down to limits.wait. 0: not at all.
func (x *exchange) waitWanted() time.Duration {
	d := x.options.wait
	if !x.options.waits {
		d = preferredWait(x.ctx.Request.Header.PeekCanonical(headerPrefer))
	}
	return min(d, x.settings.Limits.Wait)
}

func preferredWait(value []byte) time.Duration {
	for len(value) > 0 {
		var one []byte
		one, value, _ = bytes.Cut(value, []byte(","))
		one, _, _ = bytes.Cut(one, []byte(";"))
		name, seconds, ok := bytes.Cut(trimOWS(one), []byte("="))
		if !ok || !foldEqual(trimOWS(name), "wait") {
			continue
		}
		d, _ := parseWait(bytes.Trim(trimOWS(seconds), `"`))
		return d
	}
	return 0
}

// serveWait answers a poll once there is something to tell, at the latest
// after the given time.
func (s *Server) serveWait(x *exchange, t *target, part *poller.Partition, d directives, wait time.Duration) {
	if !d.noCache {
		if a, ok := s.engine.Cached(t.Upstream, part, &x.key, x.now); ok && (a.Problem != nil || x.satisfied(a.Entry)) {
			x.preferenceApplied(wait)
			s.answer(x, t, part, &a)
			return
		}
	}
	if heldBack(x.ctx) { // an answer before this one is still in the buffer, and would wait too
		s.poll(x, t, part, d)
		return
	}
	leave, p := s.waits.enter(&x.partition, x.settings.Limits.WaitsPerPartition, 0)
	if p != nil {
		x.problem(p)
		return
	}
	defer leave()
	deadline := x.now.Add(wait)
	follower := s.hub.Follow(&x.key, &x.partition)
	defer follower.Close()
	r := x.request(t, part)
	r.NoCache, r.OnlyIfCached = d.noCache, d.onlyIfCached
	a := s.engine.Poll(s.base, r)
	if a.Problem == nil && !x.satisfied(a.Entry) {
		a = s.await(x, t, part, r, a, follower, deadline)
	}
	x.now = timeNow()
	x.preferenceApplied(wait)
	s.answer(x, t, part, &a)
}

func (x *exchange) preferenceApplied(wait time.Duration) {
	x.header = strconv.AppendInt(append(x.header[:0], "wait="...), int64(wait/time.Second), 10)
	x.setHeader(headerPreferenceApplied, x.header)
}

// satisfied reports whether e is what the caller waits for: a document that
// differs from the one it has, or without one, a task that has ended or wants
// something. What can never change any more is not waited for either.
func (x *exchange) satisfied(e *cache.Entry) bool {
	if have := x.ctx.Request.Header.PeekCanonical(headerIfNoneMatch); len(have) > 0 {
		return e.Frozen || !matches(have, x.validator(e))
	}
	return e.Terminal || e.Status == "requires_action"
}

// validator is the ETag of what this exchange would answer with e.
func (x *exchange) validator(e *cache.Entry) string {
	if x.options.native || x.options.history {
		_, etag := extend(e, x.options)
		return etag
	}
	return e.ETag
}

// await follows the task until the caller is satisfied, the deadline passes,
// the caller leaves or the server shuts down, and returns the latest answer.
func (s *Server) await(x *exchange, t *target, part *poller.Partition, r poller.Request, a poller.Answer, f *push.Follower, deadline time.Time) poller.Answer {
	release, p := s.engine.Watch(r)
	if p != nil {
		return poller.Answer{Problem: p}
	}
	defer release()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	look := time.NewTicker(lookForClient)
	defer look.Stop()
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
			a = s.told(t, part, news.Entry)
			if x.satisfied(a.Entry) {
				return a
			}
		case <-timer.C:
			return s.told(t, part, a.Entry)
		case <-s.ending:
			return s.told(t, part, a.Entry)
		case <-look.C:
			if gone(netConn(x.ctx)) {
				x.hangUp()
				return s.told(t, part, a.Entry)
			}
		}
	}
}

// told is the answer that e makes now, from memory when it is there.
func (s *Server) told(t *target, part *poller.Partition, e *cache.Entry) poller.Answer {
	if a, ok := s.engine.Cached(t.Upstream, part, &e.Key, timeNow()); ok && a.Entry != nil {
		return a
	}
	return poller.Answer{Entry: e, Cache: poller.CacheStatus{Forward: poller.Hit, HasTTL: true, TTL: e.FreshUntil.Sub(timeNow())}}
}

// netConn is the connection itself, below our bookkeeping.
func netConn(ctx *fasthttp.RequestCtx) net.Conn {
	if c, ok := ctx.Conn().(*conn); ok {
		return c.Conn
	}
	return ctx.Conn()
}

// heldBack reports whether answers to earlier requests of a pipeline have not
// been written yet: fasthttp keeps them back while the next request is served.
func heldBack(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(*conn)
	return ok && c.unwritten
}

// gate counts who is inside, in all and per partition.
type gate struct {
	what string // for the problem's text: the config key of the limit per partition
	mu   sync.Mutex
	all  int
	per  map[cache.ID]int
}

// enter lets one in and returns how it leaves, or the problem that too many
// are inside. A limit of 0 is none.
func (g *gate) enter(partition *cache.ID, perPartition, total int) (leave func(), p *poller.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case total > 0 && g.all >= total:
		return nil, &poller.Problem{Type: poller.Overloaded, Status: 503, RetryAfter: 5 * time.Second,
			Detail: "limits.streams (" + strconv.Itoa(total) + ") is reached"}
	case g.per[*partition] >= perPartition:
		return nil, &poller.Problem{Type: poller.RateLimited, Status: 429, RetryAfter: 5 * time.Second,
			Detail: "limits." + g.what + " (" + strconv.Itoa(perPartition) + ") is reached"}
	}
	if g.per == nil {
		g.per = map[cache.ID]int{}
	}
	g.all++
	id := *partition
	g.per[id]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.per[id]--; g.per[id] == 0 {
			delete(g.per, id)
		}
	}), nil
}

// inside is how many there are.
func (g *gate) inside() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.all)
}
