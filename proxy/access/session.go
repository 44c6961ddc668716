package access

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// NativePath stands, with an upstream's name, for the upstream's base URL. What
// comes there is the upstream's business, cookies included.
const NativePath = "/native/"

const (
	SessionCookie = "pollux_session"
	SessionTime   = 12 * time.Hour
	sessionDomain = "session" // of the keyed hash
	csrfHeader    = "X-Pollux-CSRF"
)

var (
	problemSessionOver = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "the session has ended: log in again, or send a Pollux key"}
	ProblemForged = &problem.Problem{Type: problem.Forbidden, Status: 403,
		Detail: "with a session, what changes state needs an Origin of ours and the header " + csrfHeader + ": 1"}
)

// A session token is base64url of when it ends (seconds since 1970, 8 bytes), a
// keyed hash, and the client's name. The hash covers the hash of the client's
// key as well, so a session ends with its key. Nothing is kept: a token holds
// over restarts as long as the store key does.
const tokenHead = 8 + len(cache.ID{})

func (st *Rules) sign(c *Client, end []byte) cache.ID {
	return st.Secret.Sum(sessionDomain, string(end), c.Name, string(c.hash[:]))
}

// NewSession returns a token for c that holds for sessionTime from now on.
func (st *Rules) NewSession(c *Client, now time.Time) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(now.Add(SessionTime).Unix()))
	sum := st.sign(c, end)
	return base64.RawURLEncoding.EncodeToString(append(append(end, sum[:]...), c.Name...))
}

// openSession returns the client that a token names, nil unless the token is
// ours, has not ended and the client still has the same key.
func (st *Rules) openSession(token []byte, now time.Time) *Client {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(token)))
	n, err := base64.RawURLEncoding.Decode(raw, token)
	if err != nil || n < tokenHead {
		return nil
	}
	end, sum, name := raw[:8], raw[8:tokenHead], raw[tokenHead:n]
	for i := range st.clients {
		c := &st.clients[i]
		if c.Name != string(name) {
			continue
		}
		want := st.sign(c, end)
		if subtle.ConstantTimeCompare(sum, want[:]) == 1 && uint64(now.Unix()) < binary.BigEndian.Uint64(end) {
			return c
		}
	}
	return nil
}

// session finds the client of a request that carries no key by its cookie.
// Native requests are the upstream's business, cookies included. Browsers send
// cookies also with what other pages make them send, so what changes state has
// to show that a page of ours made it.
func (st *Rules) session(h *fasthttp.RequestHeader) (*Client, *problem.Problem) {
	token := sessionToken(h.Peek("Cookie"))
	if target := h.RequestURI(); token == nil || !bytes.HasPrefix(target, []byte("/")) || bytes.HasPrefix(target, []byte(NativePath)) {
		return nil, problemNoKey
	}
	c := st.openSession(token, time.Now())
	switch {
	case c == nil:
		return nil, problemSessionOver
	case wire.ChangesState(h.Method()) && (string(h.Peek(csrfHeader)) != "1" || !st.SameOrigin(h)):
		return nil, ProblemForged
	}
	return c, nil
}

// SameOrigin reports whether a page of ours made the request: its Origin names
// the host that the request was sent to, or public_url. The scheme is not
// compared, since TLS may end before us.
func (st *Rules) SameOrigin(h *fasthttp.RequestHeader) bool {
	origin := h.Peek("Origin")
	for _, o := range st.Strict.Origins {
		if wire.FoldEqual(origin, o) {
			return true
		}
	}
	authority, ok := wire.CutScheme(origin)
	return ok && bytes.EqualFold(authority, h.Host())
}

// sessionToken returns the value of our cookie in a Cookie header (RFC 6265,
// section 4.2.1), nil if it is not there.
func sessionToken(cookies []byte) []byte {
	for len(cookies) > 0 {
		var pair []byte
		pair, cookies, _ = bytes.Cut(cookies, []byte(";"))
		if name, value, ok := bytes.Cut(wire.TrimOWS(pair), []byte("=")); ok && string(name) == SessionCookie {
			return value
		}
	}
	return nil
}

// WithoutSession returns a Cookie header without our cookie: it is no upstream's
// business.
func WithoutSession(cookies []byte) []byte {
	if sessionToken(cookies) == nil {
		return cookies
	}
	var kept [][]byte
	for pair := range bytes.SplitSeq(cookies, []byte(";")) {
		if pair = wire.TrimOWS(pair); !bytes.HasPrefix(pair, []byte(SessionCookie+"=")) {
			kept = append(kept, pair)
		}
	}
	return bytes.Join(kept, []byte("; "))
}

// OpenScopes is what anybody may do while there are no clients. The fleet is
// for those only who sit at this machine.
func (st *Rules) OpenScopes() []string {
	if st.Strict.Loopback {
		return Scopes
	}
	return []string{ScopeRead, ScopeSubmit, ScopeWebhooks, ScopePurge}
}
