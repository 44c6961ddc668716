package proxy

import (
	"slices"

	"pollux/cache"
	"pollux/proxy/problem"
	"pollux/proxy/webhooks"
)

// problemNoWebhook is the answer for what there is not, and for what belongs to
// somebody else: nobody learns which.
var problemNoWebhook = &problem.Problem{Type: problem.AboutBlank, Status: 404, Detail: "there is no such webhook"}

// enterWebhooks lets a request about webhooks in, or answers it. inHeader says
// that its Pollux key stands where an upstream's credential could; credentials
// are identity query parameters that were sent, escaped.
func (s *webhookFace) enterWebhooks(x *request) (c *client, inHeader bool, credentials map[string][]byte, ok bool) {
	if s.service == nil {
		x.problem(&refusePath.Problem)
		return nil, false, nil, false
	}
	_, credentials, p := parsePairs(x.facts.query, x.rules.identityParam, func(string) bool { return false })
	if p != nil {
		x.problem(p)
		return nil, false, nil, false
	}
	c, inHeader, p = x.rules.authenticate(&x.ctx.Request.Header, true, x.rules.heldTargets()...)
	if p == nil {
		p = permit(c, ScopeWebhooks, nil)
	}
	if p != nil {
		x.unauthorized(p, keyChallenge)
		return nil, false, nil, false
	}
	return c, inHeader, credentials, true
}

// findWebhook finds the webhook that a request names and decides who may see
// it: whoever registered it, those who share one of its partitions (of these
// only, each sees its own), and the scope fleet. It answers the request itself
// if that is nobody.
func (s *webhookFace) findWebhook(x *request) (id string, shown func(*cache.ID) bool, ok bool) {
	c, inHeader, credentials, ok := s.enterWebhooks(x)
	if !ok {
		return "", nil, false
	}
	if x.hasBody() { // of no use, but what follows it on the connection is
		if _, refused := x.readBody(); refused != nil {
			x.refuse(refused)
			return "", nil, false
		}
	}
	id = string(x.rest)
	owner, tasks, known := s.service.Owners(id)
	mine, sent := partitionsOf(x, c, inHeader, credentials)
	switch {
	case !known:
	case c != nil && (c.has(ScopeFleet) || owner == c.fingerprint()), c == nil && !sent && x.rules.strict.loopback:
		return id, func(*cache.ID) bool { return true }, true
	case slices.ContainsFunc(tasks, func(t webhooks.Task) bool { return mine[t.Partition] }):
		return id, func(p *cache.ID) bool { return mine[*p] }, true
	}
	x.problem(problemNoWebhook)
	return "", nil, false
}

// partitionsOf are the partitions that a request belongs to, by what it sent to
// each upstream; sent says that it sent anything.
func partitionsOf(x *request, c *client, inHeader bool, credentials map[string][]byte) (mine map[cache.ID]bool, sent bool) {
	mine = map[cache.ID]bool{}
	for _, t := range x.rules.sorted {
		x.caller.reset(t)
		if !inHeader {
			x.caller.readHeaders(t, &x.ctx.Request.Header)
			x.caller.readQuery(t, credentials)
		}
		sent = sent || x.caller.sentAny()
		if (c == nil || c.may(t.Name)) && (t.Held || x.caller.sufficient(t)) {
			var id cache.ID
			x.caller.partition(x.rules.secret, t, &id)
			mine[id] = true
		}
	}
	return mine, sent
}
