package tasks

import (
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// finished reports whether a reference needs no more waiting. One that ended
// in a problem has finished, and is nothing to wait for.
func (a *batchAnswer) finished() bool {
	return a.Problem != nil || over(a.Entry)
}

// enough reports whether a batch may be answered.
func enough(answers []batchAnswer, untilAny bool) bool {
	open := 0
	for i := range answers {
		a := &answers[i]
		switch {
		case !a.finished():
			open++
		case untilAny && a.Problem == nil:
			return true
		}
	}
	return open == 0
}

// awaitBatch follows the open references of a batch until all, or any, have
// finished, and leaves the latest answers in answers. It returns a problem if
// it may not wait.
func (s *Service) awaitBatch(x *access.Request, answers []batchAnswer, untilAny bool, wait time.Duration) *problem.Problem {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	wake := make(chan struct{}, 1)
	followers := make([]*follow.Follower, len(answers))
	inside := map[cache.ID]bool{}
	for i := range answers {
		a := &answers[i]
		if a.finished() {
			continue
		}
		if id := a.part.ID; !inside[id] {
			leave, p := s.waits.Enter(&id, x.Settings.Limits.WaitsPerPartition, 0)
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
		a.Answer = s.told(a.target, a.part, a.Entry) // what was told before the following began
	}
	g := x.Grant(access.ScopeRead)
	look := time.NewTicker(wire.LookForClient)
	defer look.Stop()
	for !enough(answers, untilAny) {
		select {
		case <-wake:
			s.takeNews(answers, followers)
		case <-g.Replaced():
			if p, _ := g.Renew(); p != nil {
				return p
			}
			for i := range answers {
				if a := &answers[i]; !a.finished() {
					a.Problem = g.Rules.Keeps(g.Client, a.target)
				}
			}
		case <-timer.C:
			return nil
		case <-s.life.Ending:
			return nil
		case <-look.C:
			if wire.Gone(wire.NetConn(x.Ctx)) {
				x.HangUp()
				return nil
			}
		}
	}
	return nil
}

// takeNews brings answers up to what their followers were told.
func (s *Service) takeNews(answers []batchAnswer, followers []*follow.Follower) {
	for i, f := range followers {
		if f == nil {
			continue
		}
		switch news := f.Take(); {
		case news == nil:
		case news.Problem != nil:
			answers[i].Answer = poller.Answer{Problem: news.Problem}
		default:
			answers[i].Answer = s.told(answers[i].target, answers[i].part, news.Entry)
		}
	}
}
