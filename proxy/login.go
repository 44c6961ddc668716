package proxy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pollux/proxy/problem"

	"github.com/valyala/fasthttp"
)

var (
	problemNoClients = invalid("there are no clients here, so there is nothing to log in to")
	problemLogins    = &problem.Problem{Type: problem.RateLimited, Status: 429, RetryAfter: time.Minute / loginsPerMinute,
		Detail: "too many attempts to log in from this address"}
)

// setSession sets the cookie, or with an empty token removes it.
func setSession(x *request, token string) {
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
func (s *fleetService) serveLogin(x *request) {
	h := &x.ctx.Request.Header
	if len(h.Peek("Origin")) > 0 && !x.rules.sameOrigin(h) {
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
	case !x.rules.keyed():
		x.problem(problemNoClients)
		return
	case !s.limit.allow(prefixOf(x.ctx.RemoteAddr()), x.now):
		s.logins.WithLabelValues(loginLimited).Inc()
		x.problem(problemLogins)
		return
	}
	c := x.rules.clientOf([]byte(key))
	if c == nil {
		s.logins.WithLabelValues(loginRefused).Inc()
		x.unauthorized(problemBadKey, keyChallenge)
		return
	}
	s.logins.WithLabelValues(loginAccepted).Inc()
	setSession(x, x.rules.newSession(c, x.now))
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
func (s *fleetService) serveSession(x *request) {
	st := x.rules
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

// serveLogout answers DELETE /v1/session. A token that was copied before holds
// until its end: there is no list of ended ones.
func (s *fleetService) serveLogout(x *request) {
	if x.rules.keyed() {
		if _, _, p := x.rules.authenticate(&x.ctx.Request.Header, false); p == problemForged {
			x.problem(p)
			return
		}
	}
	setSession(x, "")
	x.ctx.SetStatusCode(fasthttp.StatusNoContent)
}
