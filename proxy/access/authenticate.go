package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/valyala/fasthttp"

	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

const (
	KeyHeader    = "X-Pollux-Key"
	KeyChallenge = `Bearer realm="pollux"`
)

var (
	problemNoKey = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "a Pollux key is needed, in X-Pollux-Key or as a bearer token"}
	ProblemBadKey = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "the Pollux key is not known"}
)

// ClientOf returns the client whose key it is, nil if nobody's. Every hash is
// compared, each in constant time, whichever matches.
func (st *Rules) ClientOf(key []byte) *Client {
	sum := sha256.Sum256(key)
	found := -1
	for i := range st.clients {
		same := subtle.ConstantTimeCompare(sum[:], st.clients[i].hash[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return nil
	}
	return &st.clients[found]
}

// Authenticate finds the client of a request by the Pollux key it carries. Keys
// are looked for in X-Pollux-Key, then, where bearer says so, as a bearer token
// and in the given credential headers of held upstreams; the first that was
// sent decides, see keyIn; without any, the session. inHeader says that the key
// was in a header which could also carry an upstream's credential. While no
// clients are configured, anybody is let in as nil.
func (st *Rules) Authenticate(h *fasthttp.RequestHeader, bearer bool, held ...*Upstream) (c *Client, inHeader bool, p *problem.Problem) {
	if !st.Keyed() {
		return nil, false, nil
	}
	key := h.Peek(KeyHeader)
	if len(key) == 0 && bearer {
		inHeader = true
		key = bearerToken(h.Peek("Authorization"))
		for i := 0; len(key) == 0 && i < len(held); i++ {
			key = st.keyIn(h, held[i])
		}
	}
	if len(key) == 0 {
		c, p = st.session(h)
		return c, false, p
	}
	if c = st.ClientOf(key); c == nil {
		return nil, false, ProblemBadKey
	}
	return c, inHeader, nil
}

// keyIn returns the Pollux key that an SDK put where a held upstream's own key
// would be, nil if there is none. In the provider's first header anything is
// taken for one; the others may also name a user, so there it must be known.
func (st *Rules) keyIn(h *fasthttp.RequestHeader, t *Upstream) []byte {
	if !t.Held {
		return nil
	}
	for i, name := range t.headers {
		value := h.PeekCanonical(name)
		if scheme := t.Provider.Identity.Scheme; i == 0 && scheme != "" {
			value = schemeToken(value, scheme)
		}
		if len(value) > 0 && (i == 0 || st.ClientOf(value) != nil) {
			return value
		}
	}
	return nil
}

// bearerToken returns the token of a Bearer credential (RFC 6750, section
// 2.1), nil if value is none.
func bearerToken(value []byte) []byte { return schemeToken(value, "bearer") }

func schemeToken(value []byte, scheme string) []byte {
	if len(value) <= len(scheme) || value[len(scheme)] != ' ' || !bytes.EqualFold(value[:len(scheme)], []byte(scheme)) {
		return nil
	}
	return wire.TrimOWS(value[len(scheme):])
}

// Permit says whether c may do what scope names, at t unless t is nil. A nil
// client is anybody, while no clients are configured.
func Permit(c *Client, scope string, t *Upstream) *problem.Problem {
	switch {
	case c == nil:
		return nil
	case !c.Has(scope):
		return &problem.Problem{Type: problem.Forbidden, Status: 403, Detail: "the Pollux key lacks the scope " + scope}
	case t != nil && !c.May(t.Name):
		return &problem.Problem{Type: problem.Forbidden, Status: 403, Upstream: t.Name, Detail: "the Pollux key is not for this upstream"}
	}
	return nil
}

// Admit lets a request in that is about no single upstream: from a client that has
// one of the scopes, or from anybody while no clients are configured. inHeader is
// as of Authenticate.
func (x *Request) Admit(scopes ...string) (inHeader bool, d *wire.Denial) {
	c, inHeader, p := x.Rules.Authenticate(&x.Ctx.Request.Header, true, x.Rules.heldUpstreams()...)
	if p == nil && (c == nil || !slices.ContainsFunc(scopes, c.Has)) {
		p = Permit(c, scopes[0], nil)
	}
	if p != nil {
		return false, &wire.Denial{Problem: p, Challenge: KeyChallenge}
	}
	x.Client = c
	return inHeader, nil
}

// Enter lets a request in to t, or, with t nil, to say that there is no such
// upstream. A held upstream takes Pollux keys wherever its own key would be; in
// caller mode those headers belong to the upstream.
func (st *Rules) Enter(h *fasthttp.RequestHeader, scope string, t *Upstream) (c *Client, d *wire.Denial) {
	if !st.Keyed() {
		return nil, nil
	}
	var p *problem.Problem
	if t == nil {
		c, _, p = st.Authenticate(h, true)
	} else {
		c, _, p = st.Authenticate(h, t.Held, t)
	}
	if p == nil {
		p = Permit(c, scope, t)
	}
	if p != nil {
		return nil, &wire.Denial{Problem: p, Challenge: KeyChallenge}
	}
	return c, nil
}
