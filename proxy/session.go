package proxy

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/proxy/problem"
)

const (
	sessionCookie = "pollux_session"
	sessionTime   = 12 * time.Hour
	sessionDomain = "session" // of the keyed hash
	csrfHeader    = "X-Pollux-CSRF"
)

var (
	problemSessionOver = &problem.Problem{Type: problem.Unauthorized, Status: 401,
		Detail: "the session has ended: log in again, or send a Pollux key"}
	problemForged = &problem.Problem{Type: problem.Forbidden, Status: 403,
		Detail: "with a session, what changes state needs an Origin of ours and the header " + csrfHeader + ": 1"}
	problemNoClients = invalid("there are no clients here, so there is nothing to log in to")
	problemLogins    = &problem.Problem{Type: problem.RateLimited, Status: 429, RetryAfter: time.Minute / loginsPerMinute,
		Detail: "too many attempts to log in from this address"}
)

// A session token is base64url of when it ends (seconds since 1970, 8 bytes), a
// keyed hash, and the client's name. The hash covers the hash of the client's
// key as well, so a session ends with its key. Nothing is kept: a token holds
// over restarts as long as the store key does.
const tokenHead = 8 + len(cache.ID{})

func (st *settings) sign(c *client, end []byte) (sum cache.ID) {
	h := st.secret.Hash(sessionDomain)
	h.Part(end)
	h.PartString(c.name)
	h.Part(c.hash[:])
	h.Sum(&sum)
	return sum
}

// newSession returns a token for c that holds for sessionTime from now on.
func (st *settings) newSession(c *client, now time.Time) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(now.Add(sessionTime).Unix()))
	sum := st.sign(c, end)
	return base64.RawURLEncoding.EncodeToString(append(append(end, sum[:]...), c.name...))
}

// openSession returns the client that a token names, nil unless the token is
// ours, has not ended and the client still has the same key.
func (st *settings) openSession(token []byte, now time.Time) *client {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(token)))
	n, err := base64.RawURLEncoding.Decode(raw, token)
	if err != nil || n < tokenHead {
		return nil
	}
	end, sum, name := raw[:8], raw[8:tokenHead], raw[tokenHead:n]
	for i := range st.clients {
		c := &st.clients[i]
		if c.name != string(name) {
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
func (st *settings) session(h *fasthttp.RequestHeader) (*client, *problem.Problem) {
	token := sessionToken(h.Peek("Cookie"))
	if target := h.RequestURI(); token == nil || !bytes.HasPrefix(target, []byte("/")) || bytes.HasPrefix(target, []byte(nativePath)) {
		return nil, problemNoKey
	}
	c := st.openSession(token, time.Now())
	switch {
	case c == nil:
		return nil, problemSessionOver
	case changesState(h.Method()) && (string(h.Peek(csrfHeader)) != "1" || !st.sameOrigin(h)):
		return nil, problemForged
	}
	return c, nil
}

// sameOrigin reports whether a page of ours made the request: its Origin names
// the host that the request was sent to, or public_url. The scheme is not
// compared, since TLS may end before us.
func (st *settings) sameOrigin(h *fasthttp.RequestHeader) bool {
	origin := h.Peek("Origin")
	for _, o := range st.strict.origins {
		if foldEqual(origin, o) {
			return true
		}
	}
	authority, ok := cutScheme(origin)
	return ok && bytes.EqualFold(authority, h.Host())
}

// sessionToken returns the value of our cookie in a Cookie header (RFC 6265,
// section 4.2.1), nil if it is not there.
func sessionToken(cookies []byte) []byte {
	for len(cookies) > 0 {
		var pair []byte
		pair, cookies, _ = bytes.Cut(cookies, []byte(";"))
		if name, value, ok := bytes.Cut(trimOWS(pair), []byte("=")); ok && string(name) == sessionCookie {
			return value
		}
	}
	return nil
}

// withoutSession returns a Cookie header without our cookie: it is no upstream's
// business.
func withoutSession(cookies []byte) []byte {
	if sessionToken(cookies) == nil {
		return cookies
	}
	var kept [][]byte
	for pair := range bytes.SplitSeq(cookies, []byte(";")) {
		if pair = trimOWS(pair); !bytes.HasPrefix(pair, []byte(sessionCookie+"=")) {
			kept = append(kept, pair)
		}
	}
	return bytes.Join(kept, []byte("; "))
}

// setSession sets the cookie, or with an empty token removes it.
func (x *exchange) setSession(token string) {
	age := int(sessionTime / time.Second)
	if token == "" {
		age = 0
	}
	cookie := sessionCookie + "=" + token + "; Path=/; Max-Age=" + strconv.Itoa(age) + "; HttpOnly; SameSite=Strict"
	if strings.HasPrefix(x.settings.publicURL, "https:") {
		cookie += "; Secure"
	}
	x.ctx.Response.Header.Set("Set-Cookie", cookie)
	x.setHeader(headerCacheControl, noStore)
}

// serveLogin answers POST /v1/session: a key becomes a cookie that scripts
// cannot read.
func (s *Server) serveLogin(x *exchange) {
	h := &x.ctx.Request.Header
	if len(h.Peek("Origin")) > 0 && !x.settings.sameOrigin(h) {
		x.refuse(refuseOrigin) // or another page could log its visitors in as somebody else
		return
	}
	body, ok := x.wantedBody()
	if !ok {
		return
	}
	key, err := parseLogin(body)
	switch {
	case err != nil:
		x.problem(invalid(err.Error()))
		return
	case !x.settings.keyed():
		x.problem(problemNoClients)
		return
	case !s.logins.allow(prefixOf(x.ctx.RemoteAddr()), x.now):
		s.metrics.logins.WithLabelValues(loginLimited).Inc()
		x.problem(problemLogins)
		return
	}
	c := x.settings.clientOf([]byte(key))
	if c == nil {
		s.metrics.logins.WithLabelValues(loginRefused).Inc()
		x.unauthorized(problemBadKey, keyChallenge)
		return
	}
	s.metrics.logins.WithLabelValues(loginAccepted).Inc()
	x.setSession(x.settings.newSession(c, x.now))
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// parseLogin reads {"key": "..."}. The error does not quote the body.
func parseLogin(body []byte) (key string, err error) {
	if err := checkJSON(body); err != nil {
		return "", fmt.Errorf("the body %w", err)
	}
	m, err := members(body, "key")
	if err != nil {
		return "", fmt.Errorf("the body %w", err)
	}
	if json.Unmarshal(m["key"], &key) != nil || key == "" {
		return "", fmt.Errorf("key wants a Pollux key")
	}
	return key, nil
}

// serveSession answers GET /v1/session: whether a key is needed, and what the
// one that came with the request is good for. No key, or a session that has
// ended, is no failure here.
func (s *Server) serveSession(x *exchange) {
	st := x.settings
	answer := struct {
		Object   string   `json:"object"`
		Required bool     `json:"login_required"`
		Client   *string  `json:"client"`
		Scopes   []string `json:"scopes"`
	}{Object: "session", Required: st.keyed(), Scopes: []string{}}
	if !st.keyed() {
		answer.Scopes = st.openScopes()
	} else {
		c, _, p := st.authenticate(&x.ctx.Request.Header, true)
		if p == problemBadKey {
			x.unauthorized(p, keyChallenge)
			return
		}
		if c != nil {
			answer.Client, answer.Scopes = &c.name, c.scopes
		}
	}
	x.json(&answer)
}

// openScopes is what anybody may do while there are no clients. The fleet is
// for those only who sit at this machine.
func (st *settings) openScopes() []string {
	if st.strict.loopback {
		return scopes
	}
	return []string{ScopeRead, ScopeSubmit, ScopeWebhooks, ScopePurge}
}

// serveLogout answers DELETE /v1/session. A token that was copied before holds
// until its end: there is no list of ended ones.
func (s *Server) serveLogout(x *exchange) {
	if x.settings.keyed() {
		if _, _, p := x.settings.authenticate(&x.ctx.Request.Header, false); p == problemForged {
			x.problem(p)
			return
		}
	}
	x.setSession("")
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}
