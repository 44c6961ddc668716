package webhooks

import (
	"maps"
	"slices"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// problemNoWebhook is the answer for what there is not, and for what belongs to
// somebody else: nobody learns which.
var problemNoWebhook = &problem.Problem{Type: problem.AboutBlank, Status: 404, Detail: "there is no such webhook"}

var (
	problemNotYours = &problem.Problem{Type: problem.Forbidden, Status: 403,
		Detail: "only the client that registered a webhook, or the scope purge, may change or end it"}
	problemWebhookOver = &problem.Problem{Type: problem.AboutBlank, Status: 409,
		Detail: "the client or the upstreams of this webhook were taken away: nothing is sent for it any more"}
)

// enterWebhooks lets a request about webhooks in that holds one of the scopes, or
// answers it. inHeader says that its Pollux key stands where an upstream's
// credential could; credentials are identity query parameters that were sent,
// escaped, those of an upstream or which known names.
func (s *Face) enterWebhooks(x *access.Request, known func(param string) bool, scopes ...string) (inHeader bool, credentials map[string][]byte, ok bool) {
	if s == nil {
		x.Problem(&wire.RefusePath.Problem)
		return false, nil, false
	}
	identity := func(name string) bool { return x.Rules.IdentityParam(name) || known(name) }
	_, credentials, p := access.ParsePairs(x.Facts.Query, identity, func(string) bool { return false })
	if p != nil {
		x.Problem(p)
		return false, nil, false
	}
	inHeader, ok = s.enter(x, scopes...)
	return inHeader, credentials, ok
}

// enter lets a request about webhooks in that holds one of the scopes, or answers
// it.
func (s *Face) enter(x *access.Request, scopes ...string) (inHeader, ok bool) {
	inHeader, denied := x.Admit(scopes...)
	if denied != nil {
		x.Deny(denied)
	}
	return inHeader, denied == nil
}

// webhookAccess is what a caller may do with a webhook.
type webhookAccess struct {
	id      string
	shown   func(partition *cache.ID) bool // what it may see of
	manages bool                           // it may change and end it
}

// findWebhook finds the webhook that a request names and decides what the caller
// may do with it. Who registered it, as a client or with a credential, may do
// everything, whatever became of the upstreams since; so may the scope purge. Who
// shares one of its partitions sees that, and the scope fleet sees all. It answers
// the request itself if that is nothing.
func (s *Face) findWebhook(x *access.Request) (a webhookAccess, ok bool) {
	a.id = string(x.Rest)
	owner, origins, tasks, known := s.owners(a.id)
	param := func(name string) bool {
		for _, o := range origins {
			if slices.Contains(o.Query, name) {
				return true
			}
		}
		return false
	}
	inHeader, credentials, ok := s.enterWebhooks(x, param, access.ScopeWebhooks, access.ScopePurge)
	if !ok {
		return a, false
	}
	if !x.SkipBody() {
		return a, false
	}
	if s.service.CatchUp(s.life.Polls, a.id) {
		owner, origins, tasks, known = s.owners(a.id)
	}
	if known {
		a, ok = s.decide(x, s.callerOf(x, inHeader, credentials), a.id, owner, origins, tasks)
	}
	if !known || !ok {
		x.Problem(problemNoWebhook)
		return a, false
	}
	return a, true
}

// webhookCaller is who asks about webhooks.
type webhookCaller struct {
	inHeader    bool // see enterWebhooks
	credentials map[string][]byte
	mine        map[cache.ID]bool // partitions that it belongs to
	sent        bool              // any credential
}

func (s *Face) callerOf(x *access.Request, inHeader bool, credentials map[string][]byte) webhookCaller {
	w := webhookCaller{inHeader: inHeader, credentials: credentials}
	w.mine, w.sent = partitionsOf(x, x.Client, inHeader, credentials)
	return w
}

// decide says what a caller may do with a webhook; ok is false if that is nothing.
func (s *Face) decide(x *access.Request, w webhookCaller, id, owner string, origins map[string]access.Origin, tasks []Task) (a webhookAccess, ok bool) {
	c, mine, sent, proven := x.Client, w.mine, w.sent, false
	for upstream, o := range origins {
		if w.inHeader || !x.Rules.Proves(upstream, o, &x.Ctx.Request.Header, w.credentials) {
			continue
		}
		if !proven {
			proven, sent, mine = true, true, maps.Clone(mine)
		}
		for _, t := range tasks {
			if t.Upstream == upstream {
				mine[t.Partition] = true
			}
		}
	}
	all := func(*cache.ID) bool { return true }
	a = webhookAccess{id: id, shown: func(p *cache.ID) bool { return mine[*p] }, manages: owner == "" && (proven || c == nil)}
	switch {
	case c != nil && (owner == c.Owner() || c.Has(access.ScopePurge)), c == nil && !sent && x.Rules.Strict.Loopback:
		a.shown, a.manages = all, true
	case c != nil && c.Has(access.ScopeFleet):
		a.shown = all
	default:
		return a, slices.ContainsFunc(tasks, func(t Task) bool { return mine[t.Partition] })
	}
	return a, true
}

// owners is Owners of the service, if there is one.
func (s *Face) owners(id string) (owner string, origins map[string]access.Origin, tasks []Task, known bool) {
	if s == nil {
		return "", nil, nil, false
	}
	return s.service.Owners(id)
}

// managedWebhook is findWebhook for what only some may do who may see it.
func (s *Face) managedWebhook(x *access.Request) (id string, ok bool) {
	a, ok := s.findWebhook(x)
	if ok && !a.manages {
		x.Problem(problemNotYours)
		return "", false
	}
	return a.id, ok
}

// partitionsOf are the partitions that a request belongs to, by what it sent to
// each upstream; sent says that it sent anything.
func partitionsOf(x *access.Request, c *access.Client, inHeader bool, credentials map[string][]byte) (mine map[cache.ID]bool, sent bool) {
	mine = map[cache.ID]bool{}
	for _, t := range x.Rules.Sorted {
		sent = x.ReadSent(t, inHeader, credentials) || sent
		if (c == nil || c.May(t.Name)) && (t.Held || x.Caller.Sufficient(t)) {
			var id cache.ID
			x.Caller.Partition(x.Rules.Secret, t, &id)
			mine[id] = true
		}
	}
	return mine, sent
}
