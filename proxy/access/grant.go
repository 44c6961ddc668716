package access

import (
	"slices"

	"pollux/proxy/problem"
)

// Grant is what a stream or a wait rests on after it was let in: a client, a
// scope, upstreams. A reload may take any of it away. It is used by one goroutine.
type Grant struct {
	Rules     *Rules // under which it held last
	Client    string // "" for anybody, while there were no clients
	scope     string
	upstreams []*Upstream
	reach     bool // of a list or the fleet: changes with any upstream that the client may use
	PublicURL string
}

// Grant is what x was let in for, once that is known.
func (x *Request) Grant(scope string, upstreams ...*Upstream) *Grant {
	g := &Grant{Rules: x.Rules, scope: scope, upstreams: upstreams, PublicURL: x.Settings.PublicURL}
	if x.Client != nil {
		g.Client = x.Client.Name
	}
	return g
}

// ReachGrant is the grant of a list or of the fleet.
func (x *Request) ReachGrant() *Grant {
	scope := ScopeRead
	if x.Client != nil && x.Client.Has(ScopeFleet) {
		scope = ScopeFleet
	}
	g := x.Grant(scope)
	g.reach = true
	return g
}

var (
	problemClientGone = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "the Pollux key that this was asked for with is not known any more"}
	problemKeyNeeded = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "a Pollux key is needed now"}
)

// Replaced is closed once other rules than those of g are in force.
func (g *Grant) Replaced() <-chan struct{} { return g.Rules.replaced }

// Renew takes g over to the rules that are in force now. It returns why it does
// not hold under them; again says that what it shows has to be put together anew.
func (g *Grant) Renew() (p *problem.Problem, again bool) {
	old := g.Rules
	for next := g.Rules.next.Load(); next != nil; next = g.Rules.next.Load() {
		g.Rules = next
	}
	if p := g.Rules.admits(g.Client, g.scope); p != nil {
		return p, false
	}
	for _, t := range g.upstreams {
		if p := g.Rules.Keeps(g.Client, t); p != nil {
			return p, false
		}
	}
	return nil, g.reach && !g.Rules.shows(old, g.Client)
}

// Last implements [wire.Grant].
func (g *Grant) Last() []byte {
	switch p, again := g.Renew(); {
	case p != nil:
		return append(p.AppendJSON([]byte("event: problem\ndata: "), g.PublicURL), "\n\n"...)
	case again:
		return []byte("retry: 1000\n\n")
	}
	return nil
}

// shows reports whether a client sees the same upstreams as under old.
func (st *Rules) shows(old *Rules, client string) bool {
	is, was := st.named(client), old.named(client)
	if is != nil && was != nil && !(slices.Equal(is.upstreams, was.upstreams) && slices.Equal(is.Scopes, was.Scopes)) {
		return false
	}
	return slices.EqualFunc(st.Sorted, old.Sorted, func(a, b *Upstream) bool { return a.Name == b.Name && a.Continues(b.Upstream) })
}

// admits says why a client, "" for anybody, may not do any more what scope names.
func (st *Rules) admits(client, scope string) *problem.Problem {
	switch c := st.named(client); {
	case c != nil:
		return Permit(c, scope, nil)
	case client != "":
		return problemClientGone
	case st.Keyed():
		return problemKeyNeeded
	}
	return nil
}

// Keeps says why a client that is let in may not go on with what it began at t.
func (st *Rules) Keeps(client string, t *Upstream) *problem.Problem {
	now := st.Upstreams[t.Name]
	if now == nil || !now.Continues(t.Upstream) {
		return &problem.Problem{Type: problem.Unauthorized, Status: 401, Upstream: t.Name,
			Detail: "the upstream was removed, or has another address or another kind of credential now"}
	}
	if c := st.named(client); c != nil && !c.May(t.Name) {
		return Permit(c, c.Scopes[0], t)
	}
	return nil
}

// named returns the client of that name, nil if there is none.
func (st *Rules) named(name string) *Client {
	i := slices.IndexFunc(st.clients, func(c Client) bool { return c.Name == name })
	if i < 0 || name == "" {
		return nil
	}
	return &st.clients[i]
}

// Succeed tells whoever rests on st that next is in force.
func (st *Rules) Succeed(next *Rules) {
	st.next.Store(next)
	close(st.replaced)
}
