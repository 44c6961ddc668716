package tasks

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/trace"
	"pollux/proxy/wire"
)

// groupWorkers is how many tasks of one group may be waited for at the same
// time. What memory can answer needs none of them.
const groupWorkers = 64

// Group is who asks for several tasks at once, and under which rules. It holds
// nothing of the request that it came with, so it may outlive it.
type Group struct {
	Rules       *access.Rules
	Grant       *access.Grant // of the scope read
	Limits      wire.Limits
	Header      *fasthttp.RequestHeader // a copy of the request's
	Client      *access.Client          // nil: there are no keys
	InHeader    bool                    // see access.Rules.Authenticate
	Cache       wire.Directives         // of the request's Cache-Control
	Traceparent string                  // "" is none
	Span        *trace.Request          // nil is none
}

// resolve reads references, and finds who asks for them at each upstream.
func (g *Group) resolve(scope string, refs []string) ([]access.Reference, map[*access.Upstream]*access.Caller) {
	all := make([]access.Reference, len(refs))
	for i, ref := range refs {
		raw, _ := json.Marshal(ref) // a string
		all[i] = g.Rules.Resolve(raw, g.Client, scope)
	}
	callers, _ := g.Rules.Callers(g.Header, nil, all, g.InHeader) // only credentials by name can be wrong
	return all, callers
}

// Wait polls every task, then follows them until enough says so of the answers,
// which are in the order of refs, or ctx ends. enough is called after the first
// answers, after each change, and every second, by one goroutine.
func (s *Service) Wait(ctx context.Context, g *Group, refs []string, enough func([]follow.Answer) bool) []follow.Answer {
	all, callers := g.resolve(access.ScopeRead, refs)
	found := s.pollAll(g, all, callers)
	answers := make([]follow.Answer, len(found))
	tell := func() []follow.Answer {
		now := time.Now()
		for i := range found {
			a := &found[i]
			answers[i] = follow.Answer{Entry: a.Entry, Problem: a.Problem, Unconfirmed: a.Unconfirmed}
			if a.Entry != nil && !a.Entry.Terminal {
				answers[i].PollAfter = max(a.RetryAfter, a.upstream.RetryAfter(a.part, a.Entry, now))
			}
		}
		return answers
	}
	if enough(tell()) {
		return answers
	}
	if p := s.awaitAll(ctx, g, found, func() bool { return enough(tell()) }); p != nil {
		for i := range found {
			if !found[i].finished() {
				found[i].Answer = poller.Answer{Problem: p}
			}
		}
	}
	return tell()
}

// Cancel asks the upstream to cancel a task. It returns nil once the upstream
// has accepted.
func (s *Service) Cancel(ctx context.Context, g *Group, ref string) *problem.Problem {
	all, callers := g.resolve(access.ScopeSubmit, []string{ref})
	a := s.find(g, &all[0], callers)
	if a.Problem != nil {
		return a.Problem
	}
	return s.cancel(ctx, a.upstream, a.request)
}

// find is where a task of the group is looked for, or the problem that keeps it
// from being looked for.
func (s *Service) find(g *Group, r *access.Reference, callers map[*access.Upstream]*access.Caller) groupAnswer {
	if r.Problem != nil {
		return groupAnswer{Answer: poller.Answer{Problem: r.Problem}}
	}
	req, p := g.Rules.PollOf(callers[r.Upstream], r.Upstream, r.Ref)
	if p != nil {
		return groupAnswer{Answer: poller.Answer{Problem: p}}
	}
	g.Span.About(&req.Key)
	return groupAnswer{part: req.Partition, upstream: r.Upstream, request: req}
}

// pollAll answers every reference, in order. References that memory can answer
// cost no goroutine.
func (s *Service) pollAll(g *Group, refs []access.Reference, callers map[*access.Upstream]*access.Caller) []groupAnswer {
	answers := make([]groupAnswer, len(refs))
	slots := make(chan struct{}, groupWorkers)
	var workers sync.WaitGroup
	for i := range refs {
		a := &answers[i]
		if *a = s.find(g, &refs[i], callers); a.Problem != nil {
			continue
		}
		if !g.Cache.NoCache || g.Cache.OnlyIfCached {
			var ok bool
			if a.Answer, ok = s.engine.Cached(a.request.Upstream, a.part, &a.request.Key, time.Now()); ok {
				continue
			}
		}
		req := a.request
		req.NoCache, req.OnlyIfCached = g.Cache.NoCache, g.Cache.OnlyIfCached
		req.Traceparent, req.Asker = g.Traceparent, g.Span
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			a.Answer = s.pollOne(req)
		})
	}
	workers.Wait()
	return answers
}

// pollOne polls in a goroutine of its own, where a panic would end the process.
func (s *Service) pollOne(r poller.Request) (a poller.Answer) {
	defer func() {
		if v := recover(); v != nil {
			s.life.Roots.Caught("poll of a group", v)
			a = poller.Answer{Problem: &wire.RefusePanic.Problem}
		}
	}()
	return s.engine.Poll(context.Background(), r)
}

// groupAnswer is what one task of a group came to.
type groupAnswer struct {
	poller.Answer
	part     *upstream.Partition
	upstream *access.Upstream
	request  poller.Request
}

// finished reports whether a reference needs no more waiting. One that ended
// in a problem has finished, and is nothing to wait for.
func (a *groupAnswer) finished() bool {
	if goesOn(&a.Answer) {
		return false
	}
	return a.Problem != nil || follow.Over(a.Entry)
}

// enough reports whether a batch may be answered.
func enough(answers []groupAnswer, untilAny bool) bool {
	return follow.Enough(len(answers), untilAny, func(i int) (open, problem bool) {
		return !answers[i].finished(), answers[i].Problem != nil
	})
}

// awaitAll follows the open tasks of a group until enough says so or ctx ends,
// and leaves the latest answers in answers. enough is asked after each change
// and every second. It returns a problem if it may not wait.
func (s *Service) awaitAll(ctx context.Context, g *Group, answers []groupAnswer, enough func() bool) *problem.Problem {
	wake := make(chan struct{}, 1)
	followers := make([]*follow.Follower, len(answers))
	inside := map[cache.ID]bool{}
	for i := range answers {
		a := &answers[i]
		if a.finished() {
			continue
		}
		if id := a.part.ID; !inside[id] {
			leave, p := s.waits.Enter(&id, g.Limits.WaitsPerPartition, 0)
			if p != nil {
				return p
			}
			defer leave()
			inside[id] = true
		}
		followers[i] = s.hub.FollowWith(wake, &a.request.Key, &a.part.ID)
		defer followers[i].Close()
		release, p := s.engine.Watch(a.request)
		if p != nil {
			return p
		}
		defer release()
		s.bringUp(a) // to what was told before the following began
	}
	look := time.NewTicker(wire.LookForClient)
	defer look.Stop()
waiting:
	for !enough() {
		select {
		case <-wake:
			s.takeNews(answers, followers)
		case <-g.Grant.Replaced():
			if p, _ := g.Grant.Renew(); p != nil {
				return p
			}
			for i := range answers {
				a := &answers[i]
				if a.finished() {
					continue
				}
				if p := g.Grant.Rules.Keeps(g.Grant.Client, a.upstream); p != nil {
					a.Answer = poller.Answer{Problem: p}
				}
			}
		case <-look.C:
		case <-ctx.Done():
			break waiting
		case <-s.life.Ending:
			break waiting
		}
	}
	for i := range answers { // polls that changed nothing are no news, nor is a credential that is refused to who has an answer
		if a := &answers[i]; !a.finished() || a.Entry != nil && a.part.Suspended() {
			s.bringUp(a)
		}
	}
	return nil
}

// bringUp brings an answer up to what is known now.
func (s *Service) bringUp(a *groupAnswer) {
	if a.Entry != nil {
		a.Answer = s.untilNow(a.request, a.Entry)
	}
}

// takeNews brings answers up to what their followers were told.
func (s *Service) takeNews(answers []groupAnswer, followers []*follow.Follower) {
	for i, f := range followers {
		if f == nil {
			continue
		}
		switch news := f.Take(); {
		case news == nil:
		case news.Problem != nil:
			answers[i].Answer = poller.Answer{Problem: news.Problem}
		default:
			answers[i].Answer = s.untilNow(answers[i].request, news.Entry)
		}
	}
}
