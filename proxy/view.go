package proxy

import (
	"slices"
	"time"

	"pollux/cache"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// view is what a caller may see of the fleet.
type view struct {
	cache.Sight
	upstreams []*poller.Upstream // that it may use, sorted by name
	own       []ownPartition     // whether in sight at present or not
}

// ownPartition is what a credential makes at an upstream.
type ownPartition struct {
	upstream *poller.Upstream
	*poller.Partition
}

// may reports whether the view has that upstream.
func (v *view) may(upstream string) bool {
	return slices.ContainsFunc(v.upstreams, func(u *poller.Upstream) bool { return u.Name == upstream })
}

var problemNobody = &problem.Problem{Type: problem.Unauthorized, Status: 401,
	Detail: "no credential was sent that an upstream takes"}

// visible finds out what the caller of x may see, or why that is nothing. credentials are identity query parameters that
// were sent, escaped.
//
// The scope fleet sees everything at the upstreams of its key. It comes with a
// Pollux key; or, while there are no keys and only this machine can connect,
// with sending no credential at all. Anybody else sees the partitions that
// their own credentials make, as long as these were accepted lately: a row is a
// stored answer.
func (x *request) visible(credentials map[string][]byte) (*view, *denial) {
	client, inHeader, p := x.rules.authenticate(&x.ctx.Request.Header, true, x.rules.heldTargets()...)
	if p == nil && (client == nil || !client.has(ScopeFleet)) {
		p = permit(client, ScopeRead, nil)
	}
	if p != nil {
		return nil, &denial{Problem: p, challenge: keyChallenge}
	}
	v := &view{}
	sent := false
	for _, t := range x.rules.sorted {
		x.caller.reset(t)
		if !inHeader {
			x.caller.readHeaders(t, &x.ctx.Request.Header)
			x.caller.readQuery(t, credentials)
		}
		sent = sent || x.caller.sentAny()
		if client != nil && !client.may(t.Name) {
			continue
		}
		if client != nil && client.has(ScopeFleet) || t.Held || x.caller.sufficient(t) {
			v.upstreams = append(v.upstreams, t.Upstream)
			v.own = append(v.own, ownPartition{t.Upstream, x.enterPartition(t)})
		}
	}
	switch {
	case client != nil && client.has(ScopeFleet):
		v.All = true
	case client == nil && !sent && x.rules.strict.loopback:
		v.All, v.upstreams = true, x.rules.upstreams()
	case client == nil && len(v.upstreams) == 0:
		challenge := keyChallenge
		if len(x.rules.sorted) > 0 {
			challenge = x.rules.sorted[0].challenge
		}
		return nil, &denial{Problem: problemNobody, challenge: challenge}
	}
	v.look(x.rules, x.now)
	return v, nil
}

// look brings those of v's own partitions into sight to which what is stored
// may be shown at present.
func (v *view) look(r *rules, now time.Time) {
	v.Partitions = nil
	for _, own := range v.own {
		if !v.All && r.partitions.MayShow(own.upstream, own.Partition, now) {
			v.Partitions = append(v.Partitions, own.ID)
		}
	}
}

// restrict makes q show what the view allows.
func (v *view) restrict(q *cache.Query) {
	q.Sight = v.Sight
	if !v.All {
		return // a partition belongs to one upstream
	}
	allowed := make([]string, len(v.upstreams))
	for i, u := range v.upstreams {
		allowed[i] = u.Name
	}
	if q.Upstreams == nil {
		q.Upstreams = allowed
		return
	}
	q.Upstreams = slices.DeleteFunc(slices.Clone(q.Upstreams), func(name string) bool { return !slices.Contains(allowed, name) })
}
