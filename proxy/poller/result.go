package poller

import (
	"context"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// resultRetries are when a task's result is asked for again that could not be
// had with its end, counted from there.
var resultRetries = []time.Duration{2 * time.Second, 10 * time.Second, 60 * time.Second}

// withResult asks for the result of a task whose poll was answered with v, in
// the same flight and timeout, and returns the verdict on both answers. Where
// the result cannot be had, it returns v as it is, which still WantsResult.
func (p *Poller) withResult(ctx context.Context, f *flight, first *upstream.Response, v providers.Verdict) providers.Verdict {
	u, r := f.r.Upstream, f.r
	req, away, err := u.Provider.ResultRequest(ctx, u.Base, r.Reference, v, u.Credential(r.Credential))
	if err != nil || !p.spendAlso(ctx, f) {
		return v
	}
	r.trace(req.Header)
	limit := int64(u.Config.MaxResponseBytes)
	if own := u.Provider.Result.MaxBytes; own > 0 {
		limit = own
	}
	send := func(req *http.Request) (*http.Response, error) { return u.Transport.RoundTrip(&r.Partition.ID, req) }
	if away {
		send = u.Elsewhere.RoundTrip
	}
	both := func(res *upstream.Response) providers.Verdict {
		if res.Unusable != "" {
			return providers.Verdict{Kind: providers.BadAnswer}
		}
		answers := [2]providers.Answer{{Code: first.Code, Header: first.Header, Body: first.Body}, {Code: res.Code, Header: res.Header, Body: res.Body}}
		return u.Provider.JudgeResult(r.Reference, answers[0], answers[1], time.Now())
	}
	res, result, err := u.Send(req, limit, both, send)
	switch {
	case err != nil:
		return v
	case result.Kind == providers.RateLimited && !away:
		f.pause(res, result, time.Now())
		return v
	case result.Kind != providers.Answered:
		return v
	}
	result.WantsResult = false
	return result
}

// spendAlso takes a second poll from the budget, and waits for it as long as ctx
// allows.
func (p *Poller) spendAlso(ctx context.Context, f *flight) bool {
	part, budget := f.r.Partition, f.r.Upstream.Config.Rate.Budget()
	if budget == nil {
		return true
	}
	second := cache.Poll{Key: f.r.Key, Credential: part.Credential().ID, Version: 1, Lease: leaseSlack, Budget: budget, Force: true}
	second.Key[0] ^= 0xff // a poll beside the task's, which is under way
	for {
		var wait time.Duration
		g, err := p.store.Begin(ctx, &second)
		switch {
		case err != nil:
			wait = part.Spend(f.r.Upstream.Config.Rate.Share(len(p.store.Members().All)), time.Now())
		case g.Token != 0:
			part.Spent(budget, time.Now())
			p.release(&cache.Report{Key: second.Key, Credential: second.Credential, Generation: g.Generation, Token: g.Token})
			return true
		default:
			wait = max(g.Paused, g.Spent, g.Busy)
		}
		if err != nil && wait == 0 {
			return true
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return false
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
}

// standOn keeps what a task ended with that could not be had anew, until it is
// asked for again. It returns what stands.
func (p *Poller) standOn(f *flight) *cache.Entry {
	u := f.r.Upstream
	stand := func(known *cache.Entry) (*cache.Entry, bool) {
		if known == nil || !u.Expiring(known) || known.Fresh(time.Now()) {
			return nil, false
		}
		next := *known
		next.FreshUntil = time.Now().Add(u.Config.Freshness.Reopenable)
		return &next, false
	}
	standing, _ := p.learn(u, f.rec, fact{revise: stand, basis: f.known})
	return standing
}

// lacks reports whether next lacks a member of the output that known has.
func lacks(next, known *cache.Entry) bool {
	return missesMember(gjson.GetBytes(next.Document, "output"), gjson.GetBytes(known.Document, "output"))
}

func missesMember(next, known gjson.Result) (missing bool) {
	known.ForEach(func(key, value gjson.Result) bool {
		if value.Type == gjson.Null {
			return true
		}
		there := next.Get(gjson.Escape(key.Str))
		missing = !there.Exists() || there.Type == gjson.Null || value.IsObject() && missesMember(there, value)
		return !missing
	})
	return missing
}

// firstEnded is when a task was first seen to have ended.
func firstEnded(known *cache.Entry, now time.Time) time.Time {
	if known == nil || !known.Terminal {
		return now
	}
	return known.StatusSince()
}
