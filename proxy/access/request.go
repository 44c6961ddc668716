// Package access decides who asks, and for what: Pollux keys, sessions and
// upstreams' credentials become a caller with its scopes and partition, or the
// reason why not. It writes no answer.
package access

import (
	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
	"pollux/proxy/wire"
)

// Request is an exchange with what decides who asks, and for what. Like that
// one it is pooled, and nothing of it outlives the handler.
type Request struct {
	wire.Exchange
	Rules    *Rules
	Client   *Client // once it was let in; nil for anybody, while there are no clients
	Upstream []byte  // path segment
	Rest     []byte  // path after it

	Caller      Caller
	View        providers.View
	scratch     []byte
	PartitionID cache.ID
	Key         cache.ID
}

// Begin prepares x for a request that has just arrived.
func (x *Request) Begin(ctx *fasthttp.RequestCtx, st *wire.Settings, r *Rules) {
	x.Exchange.Begin(ctx, st)
	x.Rules = r
}

// Release drops what points into the request, so that a pooled one keeps no
// credential alive.
func (x *Request) Release() {
	x.Exchange.Release()
	x.Rules, x.Client, x.Upstream, x.Rest = nil, nil, nil, nil
	clear(x.Caller.headers)
	clear(x.Caller.query)
	clear(x.scratch[:cap(x.scratch)])
}

// Identify finds out which task a request is about and who asks, or why it may
// not. It leaves the reference in x.view, the credential in x.caller, and both
// hashes in x.partition and x.key. Query parameters that own takes are the
// face's.
func (x *Request) Identify(scope string, own func(name, value []byte) (bool, *problem.Problem)) (*Upstream, *upstream.Partition, *wire.Denial) {
	h := &x.Ctx.Request.Header
	t := x.Rules.Upstream(x.Upstream)
	var d *wire.Denial
	if x.Client, d = x.Rules.Enter(h, scope, t); d != nil {
		return nil, nil, d
	}
	if t == nil {
		return nil, nil, &wire.Denial{Problem: wire.ProblemNoUpstream}
	}
	rest, p := x.ReadCaller(t, own)
	if p == nil {
		if err := t.Parser.ParseURL(&x.View, x.Rest, rest); err != nil {
			p = wire.Invalid(err.Error())
		}
	}
	if p != nil {
		return nil, nil, &wire.Denial{Problem: p}
	}
	if !t.Held && !x.Caller.Sufficient(t) {
		return nil, nil, &wire.Denial{Problem: NoCredential(t), Challenge: t.Challenge}
	}
	return t, x.EnterTask(t), nil
}

// ReadCaller takes what names the caller at t out of a request, and returns what
// is left of its query. Parameters that own takes are the face's.
func (x *Request) ReadCaller(t *Upstream, own func(name, value []byte) (bool, *problem.Problem)) (rest []byte, p *problem.Problem) {
	x.Caller.Reset(t)
	x.Caller.ReadHeaders(t, &x.Ctx.Request.Header)
	x.Caller.ReadSelects(t, &x.Ctx.Request.Header)
	rest, x.scratch, p = splitQuery(x.Facts.Query, t, &x.Caller, own, x.scratch)
	return rest, p
}

// ReadSent is ReadCaller for a request that is about no single upstream, and reports
// whether it sent anything that names a caller at t. Where its Pollux key stands
// inHeader, the headers tell nothing else; credentials are identity query parameters
// that were sent, escaped.
func (x *Request) ReadSent(t *Upstream, inHeader bool, credentials map[string][]byte) bool {
	x.Caller.Reset(t)
	x.Caller.ReadSelects(t, &x.Ctx.Request.Header)
	if !inHeader {
		x.Caller.ReadHeaders(t, &x.Ctx.Request.Header)
		x.Caller.readQuery(t, credentials)
	}
	return x.Caller.sentAny()
}

// EnterPartition is the partition of who asks t, once the caller is read.
func (x *Request) EnterPartition(t *Upstream) *upstream.Partition {
	x.Caller.Partition(x.Rules.Secret, t, &x.PartitionID)
	return x.Rules.Partition(&x.Caller, t, &x.PartitionID)
}

// EnterTask is enterPartition, with the key of the task in x.view.
func (x *Request) EnterTask(t *Upstream) *upstream.Partition {
	part := x.EnterPartition(t)
	entryKey(x.Rules.Secret, &x.PartitionID, &x.View, &x.Key)
	x.Span.About(&x.Key)
	return part
}

// PollRequest copies what a poll needs out of the exchange, which wants d of it.
func (x *Request) PollRequest(t *Upstream, part *upstream.Partition, d wire.Directives) poller.Request {
	return poller.Request{
		Upstream: t.Upstream, Partition: part, Key: x.Key, NoCache: d.NoCache, OnlyIfCached: d.OnlyIfCached,
		Reference: x.View.Reference(), Credential: x.Caller.Credential(t), Traceparent: x.Traceparent(), Asker: x.Span,
	}
}
