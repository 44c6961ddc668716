package webhooks

import (
	"slices"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// problemNoWebhook is the answer for what there is not, and for what belongs to
// somebody else: nobody learns which.
var problemNoWebhook = &problem.Problem{Type: problem.AboutBlank, Status: 404, Detail: "there is no such webhook"}

// enterWebhooks lets a request about webhooks in, or answers it. inHeader says
// that its Pollux key stands where an upstream's credential could; credentials
// are identity query parameters that were sent, escaped.
func (s *Face) enterWebhooks(x *access.Request) (c *access.Client, inHeader bool, credentials map[string][]byte, ok bool) {
	if s.service == nil {
		x.Problem(&wire.RefusePath.Problem)
		return nil, false, nil, false
	}
	_, credentials, p := access.ParsePairs(x.Facts.Query, x.Rules.IdentityParam, func(string) bool { return false })
	if p != nil {
		x.Problem(p)
		return nil, false, nil, false
	}
	c, inHeader, p = x.Rules.Authenticate(&x.Ctx.Request.Header, true, x.Rules.HeldTargets()...)
	if p == nil {
		p = access.Permit(c, access.ScopeWebhooks, nil)
	}
	if p != nil {
		x.Unauthorized(p, access.KeyChallenge)
		return nil, false, nil, false
	}
	return c, inHeader, credentials, true
}

// findWebhook finds the webhook that a request names and decides who may see
// it: whoever registered it, those who share one of its partitions (of these
// only, each sees its own), and the scope fleet. It answers the request itself
// if that is nobody.
func (s *Face) findWebhook(x *access.Request) (id string, shown func(*cache.ID) bool, ok bool) {
	c, inHeader, credentials, ok := s.enterWebhooks(x)
	if !ok {
		return "", nil, false
	}
	if x.HasBody() { // of no use, but what follows it on the connection is
		if _, refused := x.ReadBody(); refused != nil {
			x.Refuse(refused)
			return "", nil, false
		}
	}
	id = string(x.Rest)
	owner, tasks, known := s.service.Owners(id)
	mine, sent := partitionsOf(x, c, inHeader, credentials)
	switch {
	case !known:
	case c != nil && (c.Has(access.ScopeFleet) || owner == c.Fingerprint()), c == nil && !sent && x.Rules.Strict.Loopback:
		return id, func(*cache.ID) bool { return true }, true
	case slices.ContainsFunc(tasks, func(t Task) bool { return mine[t.Partition] }):
		return id, func(p *cache.ID) bool { return mine[*p] }, true
	}
	x.Problem(problemNoWebhook)
	return "", nil, false
}

// partitionsOf are the partitions that a request belongs to, by what it sent to
// each upstream; sent says that it sent anything.
func partitionsOf(x *access.Request, c *access.Client, inHeader bool, credentials map[string][]byte) (mine map[cache.ID]bool, sent bool) {
	mine = map[cache.ID]bool{}
	for _, t := range x.Rules.Sorted {
		x.Caller.Reset(t)
		if !inHeader {
			x.Caller.ReadHeaders(t, &x.Ctx.Request.Header)
			x.Caller.ReadQuery(t, credentials)
		}
		sent = sent || x.Caller.SentAny()
		if (c == nil || c.May(t.Name)) && (t.Held || x.Caller.Sufficient(t)) {
			var id cache.ID
			x.Caller.Partition(x.Rules.Secret, t, &id)
			mine[id] = true
		}
	}
	return mine, sent
}
