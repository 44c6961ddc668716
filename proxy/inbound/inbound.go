// Package inbound takes the messages (webhooks) of upstreams. A message that is
// verified makes Pollux look; what it says is not believed.
package inbound

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/valyala/fasthttp"

	"pollux/providers"
	"pollux/providers/signatures"
	"pollux/proxy/access"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Path is what the path of messages to an upstream begins with.
const Path = "/inbound/"

// keysWait bounds how long a sender waits for keys that its message is to be
// verified with.
const keysWait = 80 * time.Millisecond

// challenge goes with 401: how to be let in is for the provider file to say.
const challenge = `Signature realm="inbound"`

var (
	problemNoInbound = &problem.Problem{Type: problem.UnknownUpstream, Status: http.StatusNotFound,
		Detail: "no upstream of this name takes messages; upstreams.<name>.inbound in the config makes one take them"}
	problemUnverified = &problem.Problem{Type: problem.Unauthorized, Status: http.StatusUnauthorized,
		Detail: "the message is not signed as the upstream signs, with this secret and a moment ago"}
)

// Engine is what this face needs of a *poller.Poller.
type Engine interface {
	Upstream(name []byte) *upstream.Upstream
	Hint(u *upstream.Upstream, task string)
}

// Face takes messages. It is safe for concurrent use.
type Face struct {
	engine   Engine
	seen     seen
	messages *prometheus.CounterVec
}

// New returns a Face that tells engine what it is told.
func New(engine Engine, reg prometheus.Registerer) *Face {
	return &Face{engine: engine, messages: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "pollux_inbound_messages_total", Help: "Messages of upstreams, by what they were taken for.",
	}, []string{"upstream", "outcome"})}
}

// Serve answers POST /inbound/{upstream}. It asks no upstream, and waits for
// nothing but the body and, for a moment, keys.
func (f *Face) Serve(x *access.Request) {
	u := f.engine.Upstream(x.Upstream)
	if u == nil || u.Config.Inbound == nil || u.Provider.Inbound == nil {
		x.Problem(problemNoInbound)
		return
	}
	count := func(outcome string) { f.messages.WithLabelValues(u.Name, outcome).Inc() }
	body, refused := x.ReadBody()
	if refused != nil {
		count("unreadable")
		x.Refuse(refused)
		return
	}
	m, err := receive(u, header(&x.Ctx.Request.Header), x.Facts.Query, body)
	switch {
	case errors.Is(err, providers.ErrUnreadable):
		count("unreadable")
		x.Problem(wire.Invalid("the body is no JSON object"))
		return
	case err != nil:
		count("unverified")
		x.Unauthorized(problemUnverified, challenge)
		return
	case !f.seen.first(u.Name, m.ID):
		count("replayed")
	case m.TaskID == "":
		count("other")
		f.engine.Hint(u, "")
	default:
		count("hint")
		f.engine.Hint(u, m.TaskID)
	}
	x.Ctx.SetStatusCode(fasthttp.StatusNoContent)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
}

// receive verifies a message. Where the upstream publishes its keys and none
// fits, it has them looked up again: keys change.
func receive(u *upstream.Upstream, h http.Header, rawQuery, body []byte) (providers.Message, error) {
	p := u.Provider
	query, err := url.ParseQuery(string(rawQuery))
	if err != nil {
		return providers.Message{}, providers.ErrUnverified
	}
	if p.Inbound.JWKS == "" {
		return p.Receive(h, query, body, signatures.Sender{Secret: string(u.Config.Inbound.Secret)}, time.Now())
	}
	ctx, cancel := context.WithTimeout(context.Background(), keysWait)
	defer cancel()
	m, err := p.Receive(h, query, body, signatures.Sender{Keys: u.SignerKeys(ctx, false)}, time.Now())
	if errors.Is(err, providers.ErrUnverified) {
		m, err = p.Receive(h, query, body, signatures.Sender{Keys: u.SignerKeys(ctx, true)}, time.Now())
	}
	return m, err
}

func header(from *fasthttp.RequestHeader) http.Header {
	h := http.Header{}
	for name, value := range from.All() {
		h.Add(string(name), string(value))
	}
	return h
}
