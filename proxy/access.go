package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/valyala/fasthttp"

	"pollux/proxy/problem"
)

const (
	keyHeader    = "X-Pollux-Key"
	keyChallenge = `Bearer realm="pollux"`
)

var (
	problemNoKey = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "a Pollux key is needed, in X-Pollux-Key or as a bearer token"}
	problemBadKey = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "the Pollux key is not known"}
)

// clientOf returns the client whose key it is, nil if nobody's. Every hash is
// compared, each in constant time, whichever matches.
func (st *rules) clientOf(key []byte) *client {
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

// authenticate finds the client of a request by the Pollux key it carries. Keys
// are looked for in X-Pollux-Key, then, where bearer says so, as a bearer token
// and in the given credential headers of held upstreams; the first that was
// sent decides; without any, the session. inHeader says that the key was in a
// header which could also carry an upstream's credential. While no clients are
// configured, anybody is let in as nil.
func (st *rules) authenticate(h *fasthttp.RequestHeader, bearer bool, held ...*target) (c *client, inHeader bool, p *problem.Problem) {
	if !st.keyed() {
		return nil, false, nil
	}
	key := h.Peek(keyHeader)
	if len(key) == 0 && bearer {
		inHeader = true
		key = bearerToken(h.Peek("Authorization"))
		for i := 0; len(key) == 0 && i < len(held); i++ {
			key = held[i].keyIn(h)
		}
	}
	if len(key) == 0 {
		c, p = st.session(h)
		return c, false, p
	}
	if c = st.clientOf(key); c == nil {
		return nil, false, problemBadKey
	}
	return c, inHeader, nil
}

// keyIn returns the Pollux key that an SDK put where the upstream's own key
// would be, nil if there is none.
func (t *target) keyIn(h *fasthttp.RequestHeader) []byte {
	if !t.Held || len(t.headers) == 0 {
		return nil
	}
	value := h.PeekCanonical(t.headers[0])
	if scheme := t.Provider.Identity.Scheme; scheme != "" {
		return schemeToken(value, scheme)
	}
	return value
}

// bearerToken returns the token of a Bearer credential (RFC 6750, section
// 2.1), nil if value is none.
func bearerToken(value []byte) []byte { return schemeToken(value, "bearer") }

func schemeToken(value []byte, scheme string) []byte {
	if len(value) <= len(scheme) || value[len(scheme)] != ' ' || !bytes.EqualFold(value[:len(scheme)], []byte(scheme)) {
		return nil
	}
	return trimOWS(value[len(scheme):])
}

// permit says whether c may do what scope names, at t unless t is nil. A nil
// client is anybody, while no clients are configured.
func permit(c *client, scope string, t *target) *problem.Problem {
	switch {
	case c == nil:
		return nil
	case !c.has(scope):
		return &problem.Problem{Type: problem.Forbidden, Status: 403, Detail: "the Pollux key lacks the scope " + scope}
	case t != nil && !c.may(t.Name):
		return &problem.Problem{Type: problem.Forbidden, Status: 403, Upstream: t.Name, Detail: "the Pollux key is not for this upstream"}
	}
	return nil
}

// enter lets a request in to t, or, with t nil, to say that there is no such
// upstream. A held upstream takes Pollux keys wherever its own key would be; in
// caller mode those headers belong to the upstream.
func (st *rules) enter(h *fasthttp.RequestHeader, scope string, t *target) *denial {
	if !st.keyed() {
		return nil
	}
	var p *problem.Problem
	var c *client
	if t == nil {
		c, _, p = st.authenticate(h, true)
	} else {
		c, _, p = st.authenticate(h, t.Held, t)
	}
	if p == nil {
		p = permit(c, scope, t)
	}
	if p == nil {
		return nil
	}
	return &denial{Problem: p, challenge: keyChallenge}
}
