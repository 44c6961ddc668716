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

// viewOf finds out what the caller of x may see, and answers the request
// itself when that is nothing. credentials are identity query parameters that
// were sent, escaped.
//
// The scope fleet sees everything at the upstreams of its key. It comes with a
// Pollux key; or, while there are no keys and only this machine can connect,
// with sending no credential at all. Anybody else sees the partitions that
// their own credentials make, as long as these were accepted lately: a row is a
// stored answer.
func (s *Server) viewOf(x *exchange, credentials map[string][]byte) *view {
	st := x.settings
	client, inHeader, p := st.authenticate(&x.ctx.Request.Header, true, st.heldTargets()...)
	if p == nil && (client == nil || !client.has(ScopeFleet)) {
		p = permit(client, ScopeRead, nil)
	}
	if p != nil {
		x.unauthorized(p, keyChallenge)
		return nil
	}
	v := &view{}
	sent := false
	for _, t := range st.sorted {
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
			var id cache.ID
			x.caller.partition(s.secret, t, &id)
			v.own = append(v.own, ownPartition{t.Upstream, s.engine.Partition(t.Upstream, &id)})
		}
	}
	switch {
	case client != nil && client.has(ScopeFleet):
		v.All = true
	case client == nil && !sent && st.strict.loopback:
		v.All, v.upstreams = true, st.upstreams()
	case client == nil && len(v.upstreams) == 0:
		challenge := keyChallenge
		if len(st.sorted) > 0 {
			challenge = st.sorted[0].challenge
		}
		x.unauthorized(problemNobody, challenge)
		return nil
	}
	s.look(v, x.now)
	return v
}

// look brings those of v's own partitions into sight to which what is stored
// may be shown at present.
func (s *Server) look(v *view, now time.Time) {
	v.Partitions = nil
	for _, own := range v.own {
		if !v.All && s.engine.MayShow(own.upstream, own.Partition, now) {
			v.Partitions = append(v.Partitions, own.ID)
		}
	}
}
