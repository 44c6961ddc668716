package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"pollux/providers"
	"pollux/proxy/egress"
	"pollux/proxy/poller/oauth"
	"pollux/proxy/poller/transport"
	"pollux/proxy/problem"
)

// tokenPatience bounds connecting to a token server, and how long its answer
// may take to begin.
const tokenPatience = 20 * time.Second

// client is an OAuth2 client whose access tokens are sent as the credential of
// an upstream. Nil is none.
type client struct {
	config   *oauth.Config
	provider *providers.Provider
	proxy    egress.URL // by which its server is reached
	caFile   string     // and believed
	tokens   *oauth.Source
}

func newClient(host *Host, cfg Config, provider *providers.Provider, way route, observe func(oauth.Outcome)) (*client, error) {
	c := &client{config: cfg.Credential.OAuth2, provider: provider, proxy: cfg.Proxy, caFile: cfg.CAFile}
	at, err := url.Parse(c.config.TokenURL)
	if err != nil {
		at = &url.URL{} // Validate has told
	}
	connections, err := way.connections(transport.Config{Base: at, DialTimeout: tokenPatience, Patience: tokenPatience, Panics: host.Roots}, way.trusted)
	c.tokens = oauth.New(host.Base, *c.config, tokenTransport{connections}, host.Roots, observe)
	return c, err
}

// tokenTransport sends requests for tokens, each on a connection of its own.
type tokenTransport struct{ connections *transport.Connections }

// RoundTrip implements http.RoundTripper.
func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	return t.connections.RoundTrip(nil, req)
}

// same reports whether tokens of the one serve in place of the other's.
func (c *client) same(d *client) bool {
	return c != nil && d != nil && c.config.Equal(d.config) && c.proxy == d.proxy && c.caFile == d.caFile
}

// carry is the credential that a token makes: a bearer token where the provider
// takes one (RFC 6750, section 2.1), else whatever carries a bare key.
func (c *client) carry(token string) providers.Credential {
	id := c.provider.Identity
	if token != "" && len(id.Headers) > 0 && id.Headers[0] != "Authorization" && slices.Contains(id.Headers, "Authorization") {
		return providers.Credential{Headers: []providers.Field{{Name: "Authorization", Value: "Bearer " + token}}}
	}
	return c.provider.HeldCredential(token)
}

// clientAccount is the account of a client, whatever its secret or token is.
func (h *held) clientAccount(c *oauth.Config) [16]byte {
	sum := h.secret.Sum("held client", c.TokenURL, c.ClientID)
	return [16]byte(sum[:16])
}

// Authorize is Credential for a request that is sent now: where an access token
// is needed and none is at hand, it waits for one until ctx ends. The error is a
// *problem.Problem.
func (u *Upstream) Authorize(ctx context.Context, caller providers.Credential) (providers.Credential, error) {
	if u.held == nil || u.held.client == nil {
		return u.Credential(caller), nil
	}
	token, err := u.held.client.tokens.Token(ctx)
	if err != nil {
		return providers.Credential{}, u.tokenProblem(err)
	}
	c := u.held.client.carry(token)
	c.Select = caller.Select
	return c, nil
}

// tokenProblem is the problem of a request for which there is no token.
func (u *Upstream) tokenProblem(err error) *problem.Problem {
	p := &problem.Problem{Type: problem.UpstreamError, Status: http.StatusBadGateway, Upstream: u.Name, Detail: err.Error()}
	if why, ok := errors.AsType[*oauth.Error](err); ok {
		if p.RetryAfter = why.RetryAfter; why.Outcome == oauth.Slow {
			p.Type, p.Status = problem.UpstreamTimeout, http.StatusGatewayTimeout
		}
	}
	return p
}

// Renews notes that the upstream has refused the credential c, and reports
// whether there is another one to be had: an access token may have been revoked
// before its end.
func (u *Upstream) Renews(c providers.Credential) bool {
	if u.held == nil || u.held.client == nil {
		return false
	}
	client := u.held.client
	token := client.tokens.Current()
	if token == "" || !client.carry(token).Equal(c) {
		return true // it has been given up before
	}
	client.tokens.Refused(token)
	return client.tokens.Current() != token
}

// Secrets are the credentials that u holds now but its config does not: what
// was read from a file, and tokens.
func (u *Upstream) Secrets() (all []string) {
	if u.held == nil || u.held.file == "" && u.held.client == nil {
		return nil
	}
	c := u.HeldCredential()
	for _, f := range slices.Concat(c.Headers, c.Query) {
		all = append(all, f.Value, afterScheme(f.Value))
	}
	return all
}
