package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/time/rate"

	"pollux/providers"
	"pollux/proxy/roots"
)

const (
	// requestTimeout bounds one request for a token. Whoever wants the token
	// may stop waiting before.
	requestTimeout = 30 * time.Second
	// maxLead is how long before its end a token is replaced at the earliest,
	// and a fifth of its life at most.
	maxLead = 5 * time.Minute
	// firstPause is how long after a request that failed the next one is sent;
	// the pauses double up to longestPause. While the token at hand is still good
	// they are a quarter of what is left of it at most, but for shortestPause.
	firstPause    = time.Second
	longestPause  = time.Minute
	shortestPause = 100 * time.Millisecond
	// maxRetryAfter bounds the pause that a token server asks for.
	maxRetryAfter = 15 * time.Minute
	// maxToken bounds a token: it travels in a header.
	maxToken = 32 << 10
)

// Source keeps one access token at hand. It is safe for concurrent use.
type Source struct {
	config  Config
	base    context.Context // of requests
	roots   *roots.Roots
	client  *http.Client
	observe func(Outcome)

	mu       sync.Mutex       // guards what follows
	style    oauth2.AuthStyle // in which the server takes the credentials; unknown: not tried yet
	token    token            // zero: none
	ended    chan struct{}    // closed when the request under way has ended; nil: none is
	failed   *Error           // of the last request; nil: it succeeded
	failures int              // in a row
	again    time.Time        // no request before
	refusals *rate.Limiter    // tokens given up because the upstream refused them
}

// token is what a token server gave.
type token struct {
	value   string
	renew   time.Time // when to ask for the next one; zero: never
	expires time.Time // zero: never
}

func (t *token) good(now time.Time) bool {
	return t.value != "" && (t.expires.IsZero() || now.Before(t.expires))
}

func (t *token) due(now time.Time) bool { return !t.renew.IsZero() && !now.Before(t.renew) }

// Outcome is what became of a request for a token.
type Outcome string

// Refused is for a server that does not accept the client, Failed for one that
// cannot be reached or talks nonsense.
const (
	Given   Outcome = "given"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
	Slow    Outcome = "timeout"
)

// Error is why there is no token. Its text is ours: what servers and net/http
// say may quote the secret.
type Error struct {
	Outcome    Outcome       // never Given
	RetryAfter time.Duration // until the server is asked again; 0: it is not known
	reason     string
}

func (e *Error) Error() string { return e.reason }

// New returns a source of tokens for the client. It starts nothing: tokens are
// asked for as they are wanted, by transport and until base ends. observe is
// told of each request's outcome.
func New(base context.Context, cfg Config, transport http.RoundTripper, roots *roots.Roots, observe func(Outcome)) *Source {
	return &Source{
		config: cfg, base: base, roots: roots, observe: observe,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the secret is for this server alone
		}},
		// A token that is refused although it is new would have one asked for
		// with every poll.
		refusals: rate.NewLimiter(rate.Every(6*time.Second), 10),
	}
}

// Current is the token at hand, which may have ended; "" if there is none. It
// never waits.
func (s *Source) Current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token.value
}

// Token returns a token that has not ended. One that ends soon has the next one
// asked for, and serves until that has come: only where there is no good one
// does Token wait, until ctx ends. There is one request at a time, whoever
// waits for it. The error is an *Error.
func (s *Source) Token(ctx context.Context) (string, error) {
	for {
		value, ended, failed := s.look(time.Now())
		switch {
		case value != "":
			return value, nil
		case failed != nil:
			return "", failed
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return "", &Error{Outcome: Slow, reason: "the token server has not answered in time"}
		}
	}
}

// look returns a good token, or what is closed once there may be one, or why
// there is none for now.
func (s *Source) look(now time.Time) (value string, ended <-chan struct{}, failed *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	good := s.token.good(now)
	if (!good || s.token.due(now)) && s.ended == nil && !now.Before(s.again) {
		s.ended = make(chan struct{})
		style := s.style
		go s.roots.Run("access token", func() { s.request(style) })
	}
	switch {
	case good:
		return s.token.value, nil, nil
	case s.ended != nil:
		return "", s.ended, nil
	}
	why := *s.failed // without a failure there would be a request
	why.RetryAfter = s.again.Sub(now)
	return "", nil, &why
}

// Refused notes that the upstream has refused a token: the next one is asked
// for. Other tokens than the one at hand have been given up before.
func (s *Source) Refused(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value != "" && s.token.value == value && s.refusals.Allow() {
		s.token = token{}
	}
}

// request asks for a token once. What was at hand stays while that fails.
func (s *Source) request(style oauth2.AuthStyle) {
	var next token
	failed := &Error{Outcome: Failed, reason: "the request for a token ended in a panic"} // unless it comes further
	defer func() { s.requested(next, style, failed) }()
	ctx, cancel := context.WithTimeout(context.WithValue(s.base, oauth2.HTTPClient, s.client), requestTimeout)
	defer cancel()
	given, taken, err := s.ask(ctx, style)
	now := time.Now()
	next, style, failed = tokenOf(given, now), taken, errorOf(ctx, err, now)
	if failed == nil && next.value == "" {
		failed = &Error{Outcome: Failed, reason: "the token server's answer holds no token that can be sent"}
	}
}

// requested ends a request.
func (s *Source) requested(next token, style oauth2.AuthStyle, failed *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = failed; failed == nil {
		s.token, s.style, s.failures, s.again = next, style, 0, time.Time{}
		s.observe(Given)
	} else {
		now := time.Now()
		pause := min(longestPause, firstPause<<min(s.failures, 10))
		if s.token.good(now) && !s.token.expires.IsZero() { // several more tries before it ends
			pause = min(pause, max(shortestPause, s.token.expires.Sub(now)/4))
		}
		s.failures, s.again = s.failures+1, now.Add(max(failed.RetryAfter, pause))
		s.observe(failed.Outcome)
	}
	close(s.ended)
	s.ended = nil
}

// ask sends the credentials in the form in which the server takes them. Where
// that is not known, it is the one that every server must take (RFC 6749,
// section 2.3.1), and then the other, which is all that some read.
func (s *Source) ask(ctx context.Context, style oauth2.AuthStyle) (*oauth2.Token, oauth2.AuthStyle, error) {
	c := clientcredentials.Config{
		ClientID: s.config.ClientID, ClientSecret: string(s.config.ClientSecret), TokenURL: s.config.TokenURL, Scopes: s.config.Scopes,
		AuthStyle: cmp.Or(style, oauth2.AuthStyleInHeader), EndpointParams: url.Values{},
	}
	if s.config.Audience != "" {
		c.EndpointParams.Set("audience", s.config.Audience)
	}
	given, err := c.Token(ctx)
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && style == oauth2.AuthStyleAutoDetect && refusesClient(refused) {
		c.AuthStyle = oauth2.AuthStyleInParams
		if other, errOther := c.Token(ctx); errOther == nil {
			given, err = other, nil
		}
	}
	return given, c.AuthStyle, err
}

// tokenOf is what was given as it is kept; zero if it cannot be sent.
func tokenOf(given *oauth2.Token, now time.Time) (t token) {
	switch {
	case given == nil, len(given.AccessToken) > maxToken, !providers.Visible(given.AccessToken):
		return t
	case given.TokenType != "" && !strings.HasPrefix(strings.ToLower(given.TokenType), "bearer"):
		return t // proofs of possession and the like
	}
	if t.value = given.AccessToken; given.Expiry.IsZero() {
		return t
	}
	life := given.Expiry.Sub(now)
	if life <= 0 {
		return token{}
	}
	t.expires, t.renew = given.Expiry, given.Expiry.Add(-min(maxLead, life/5))
	return t
}

// refusesClient reports whether the server does not know who asks.
func refusesClient(e *oauth2.RetrieveError) bool {
	return e.Response.StatusCode == http.StatusUnauthorized || e.Response.StatusCode == http.StatusBadRequest || e.ErrorCode == "invalid_client"
}

// codes are those of a token server (RFC 6749, section 5.2). Whatever else it
// says is not repeated.
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

func errorOf(ctx context.Context, err error, now time.Time) *Error {
	refused, isRefused := errors.AsType[*oauth2.RetrieveError](err)
	_, unreachable := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
		return nil
	case isRefused:
		e := &Error{Outcome: Failed, reason: fmt.Sprintf("the token server answered %d", refused.Response.StatusCode)}
		if slices.Contains(codes, refused.ErrorCode) {
			e.reason += " (" + refused.ErrorCode + ")"
		}
		if code := refused.Response.StatusCode; refused.ErrorCode != "" && code < 500 || code == http.StatusUnauthorized || code == http.StatusForbidden {
			e.Outcome = Refused
		}
		asked, _ := providers.RetryAfter(refused.Response.Header.Get("Retry-After"), now)
		e.RetryAfter = min(asked, maxRetryAfter)
		return e
	case ctx.Err() != nil:
		return &Error{Outcome: Slow, reason: "the token server has not answered in time"}
	case unreachable:
		return &Error{Outcome: Failed, reason: "the token server cannot be reached"}
	}
	return &Error{Outcome: Failed, reason: "the token server's answer is no token"}
}
