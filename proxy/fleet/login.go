package fleet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/proxy/access"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

var (
	problemNoClients = wire.Invalid("there are no clients here, so there is nothing to log in to")
	problemLogins    = &problem.Problem{Type: problem.RateLimited, Status: 429, RetryAfter: time.Minute / loginsPerMinute,
		Detail: "too many attempts to log in from this address"}
)

// setSession sets the cookie, or with an empty token removes it.
func setSession(x *access.Request, token string) {
	age := int(access.SessionTime / time.Second)
	if token == "" {
		age = 0
	}
	cookie := access.SessionCookie + "=" + token + "; Path=/; Max-Age=" + strconv.Itoa(age) + "; HttpOnly; SameSite=Strict"
	if x.Settings.Secure {
		cookie += "; Secure"
	}
	x.Ctx.Response.Header.Set("Set-Cookie", cookie)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
}

// ServeLogin answers POST /v1/session: a key becomes a cookie that scripts
// cannot read.
func (s *Service) ServeLogin(x *access.Request) {
	h := &x.Ctx.Request.Header
	if len(h.Peek("Origin")) > 0 && !x.Rules.SameOrigin(h) {
		x.Refuse(wire.RefuseOrigin) // or another page could log its visitors in as somebody else
		return
	}
	body, ok := x.WantedBody()
	if !ok {
		return
	}
	key, err := parseLogin(body)
	switch {
	case err != nil:
		x.Problem(wire.Invalid(err.Error()))
		return
	case !x.Rules.Keyed():
		x.Problem(problemNoClients)
		return
	case !s.limit.allow(wire.ClientOf(x.Ctx, x.Settings.Trusted), x.Now):
		s.logins.WithLabelValues(loginLimited).Inc()
		x.Problem(problemLogins)
		return
	}
	c := x.Rules.ClientOf([]byte(key))
	if c == nil {
		s.logins.WithLabelValues(loginRefused).Inc()
		x.Unauthorized(access.ProblemBadKey, access.KeyChallenge)
		return
	}
	s.logins.WithLabelValues(loginAccepted).Inc()
	setSession(x, x.Rules.NewSession(c, x.Now))
	x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// parseLogin reads {"key": "..."}. The error does not quote the body.
func parseLogin(body []byte) (key string, err error) {
	if err := wire.CheckJSON(body); err != nil {
		return "", fmt.Errorf("the body %w", err)
	}
	m, err := wire.Members(body, "key")
	if err != nil {
		return "", fmt.Errorf("the body %w", err)
	}
	if json.Unmarshal(m["key"], &key) != nil || key == "" {
		return "", fmt.Errorf("key wants a Pollux key")
	}
	return key, nil
}

// About is what the page says of this Pollux to those whom it lets in.
type About struct {
	Version string `json:"version,omitempty"`
	// Samples are credentials that simulated upstreams take.
	Samples []string `json:"samples,omitempty"`
}

// SetAbout must be called before anything is served.
func (s *Service) SetAbout(a *About) { s.about = a }

// ServeSession answers GET /v1/session: whether a key is needed, and what the
// one that came with the request is good for. No key, or a session that has
// ended, is no failure here.
func (s *Service) ServeSession(x *access.Request) {
	st := x.Rules
	answer := struct {
		Object   string   `json:"object"`
		Required bool     `json:"login_required"`
		Client   *string  `json:"client"`
		Scopes   []string `json:"scopes"`
		*About
	}{Object: "session", Required: st.Keyed(), Scopes: []string{}}
	if !st.Keyed() {
		answer.Scopes, answer.About = st.OpenScopes(), s.about
	} else {
		c, _, p := st.Authenticate(&x.Ctx.Request.Header, true)
		if p == access.ProblemBadKey {
			x.Unauthorized(p, access.KeyChallenge)
			return
		}
		if c != nil {
			answer.Client, answer.Scopes, answer.About = &c.Name, c.Scopes, s.about
		}
	}
	x.Json(&answer)
}

// ServeLogout answers DELETE /v1/session. A token that was copied before holds
// until its end: there is no list of ended ones.
func (s *Service) ServeLogout(x *access.Request) {
	if x.Rules.Keyed() {
		if _, _, p := x.Rules.Authenticate(&x.Ctx.Request.Header, false); p == access.ProblemForged {
			x.Problem(p)
			return
		}
	}
	setSession(x, "")
	x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
}
