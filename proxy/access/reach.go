package access

import (
	"slices"
	"time"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Reach is what a caller may see of the fleet.
type Reach struct {
	cache.Sight
	Upstreams []*upstream.Upstream // that it may use, sorted by name
	own       []ownPartition       // whether in sight at present or not
}

// ownPartition is what a credential makes at an upstream.
type ownPartition struct {
	upstream *upstream.Upstream
	*upstream.Partition
}

// May reports whether that upstream is in reach.
func (v *Reach) May(name string) bool {
	return slices.ContainsFunc(v.Upstreams, func(u *upstream.Upstream) bool { return u.Name == name })
}

var problemNobody = &problem.Problem{Type: problem.Unauthorized, Status: 401,
	Detail: "no credential was sent that an upstream takes"}

// Reach finds out what the caller of x may see, or why that is nothing. credentials are identity query parameters that
// were sent, escaped.
//
// The scope fleet sees everything at the upstreams of its key. It comes with a
// Pollux key; or, while there are no keys and only this machine can connect,
// with sending no credential at all. Anybody else sees the partitions that
// their own credentials make, as long as these were accepted lately: a row is a
// stored answer.
func (x *Request) Reach(credentials map[string][]byte) (*Reach, *wire.Denial) {
	inHeader, denied := x.Admit(ScopeRead, ScopeFleet)
	if denied != nil {
		return nil, denied
	}
	client, v := x.Client, &Reach{}
	sent := false
	for _, t := range x.Rules.Sorted {
		sent = x.ReadSent(t, inHeader, credentials) || sent
		if client != nil && !client.May(t.Name) {
			continue
		}
		if client != nil && client.Has(ScopeFleet) || t.Held || x.Caller.Sufficient(t) {
			v.Upstreams = append(v.Upstreams, t.Upstream)
			v.own = append(v.own, ownPartition{t.Upstream, x.EnterPartition(t)})
		}
	}
	switch {
	case client != nil && client.Has(ScopeFleet):
		v.All = true
	case client == nil && !sent && x.Rules.Strict.Loopback:
		v.All, v.Upstreams = true, x.Rules.upstreams()
	case client == nil && len(v.Upstreams) == 0:
		challenge := KeyChallenge
		if len(x.Rules.Sorted) > 0 {
			challenge = x.Rules.Sorted[0].Challenge
		}
		return nil, &wire.Denial{Problem: problemNobody, Challenge: challenge}
	}
	v.Look(x.Rules, x.Now)
	return v, nil
}

// Look brings those of v's own partitions into sight to which what is stored
// may be shown at present.
func (v *Reach) Look(r *Rules, now time.Time) {
	v.Partitions = nil
	for _, own := range v.own {
		if !v.All && own.Authorized(own.upstream, now) {
			v.Partitions = append(v.Partitions, own.ID)
		}
	}
}

// Restrict makes q show what is in reach.
func (v *Reach) Restrict(q *cache.Query) {
	q.Sight = v.Sight
	if !v.All {
		return // a partition belongs to one upstream
	}
	allowed := make([]string, len(v.Upstreams))
	for i, u := range v.Upstreams {
		allowed[i] = u.Name
	}
	if q.Upstreams == nil {
		q.Upstreams = allowed
		return
	}
	q.Upstreams = slices.DeleteFunc(slices.Clone(q.Upstreams), func(name string) bool { return !slices.Contains(allowed, name) })
}
