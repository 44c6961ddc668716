package proxy

import (
	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller"
	"pollux/proxy/problem"
)

// request is an exchange with what decides who asks, and for what. Like that
// one it is pooled, and nothing of it outlives the handler.
type request struct {
	exchange
	rules    *rules
	upstream []byte // path segment
	rest     []byte // path after it

	caller    caller
	view      providers.View
	query     []byte
	partition cache.ID
	key       cache.ID
}

// begin prepares x for a request that has just arrived.
func (x *request) begin(ctx *fasthttp.RequestCtx, st *wireSettings, r *rules) {
	x.exchange.begin(ctx, st)
	x.rules = r
}

// release drops what points into the request, so that a pooled one keeps no
// credential alive.
func (x *request) release() {
	x.exchange.release()
	x.rules, x.upstream, x.rest = nil, nil, nil
	clear(x.caller.headers)
	clear(x.caller.query)
	clear(x.query[:cap(x.query)])
}

// identify finds out which task a request is about and who asks, or why it may
// not. It leaves the reference in x.view, the credential in x.caller, and both
// hashes in x.partition and x.key. Query parameters that own takes are the
// face's.
func (x *request) identify(scope string, own func(name, value []byte) (bool, *problem.Problem)) (*target, *poller.Partition, *denial) {
	h := &x.ctx.Request.Header
	t := x.rules.target(x.upstream)
	if d := x.rules.enter(h, scope, t); d != nil {
		return nil, nil, d
	}
	if t == nil {
		return nil, nil, &denial{Problem: problemNoUpstream}
	}
	rest, p := x.readCaller(t, own)
	if p == nil {
		if err := t.Parser.ParseURL(&x.view, x.rest, rest); err != nil {
			p = invalid(err.Error())
		}
	}
	if p != nil {
		return nil, nil, &denial{Problem: p}
	}
	if !t.Held && !x.caller.sufficient(t) {
		return nil, nil, &denial{Problem: noCredential(t), challenge: t.challenge}
	}
	return t, x.enterTask(t), nil
}

// readCaller takes what names the caller at t out of a request, and returns what
// is left of its query. Parameters that own takes are the face's.
func (x *request) readCaller(t *target, own func(name, value []byte) (bool, *problem.Problem)) (rest []byte, p *problem.Problem) {
	x.caller.reset(t)
	x.caller.readHeaders(t, &x.ctx.Request.Header)
	rest, x.query, p = splitQuery(x.facts.query, t, &x.caller, own, x.query)
	return rest, p
}

// enterPartition is the partition of who asks t, once the caller is read.
func (x *request) enterPartition(t *target) *poller.Partition {
	x.caller.partition(x.rules.secret, t, &x.partition)
	return x.rules.partitions.Partition(t.Upstream, &x.partition)
}

// enterTask is enterPartition, with the key of the task in x.view.
func (x *request) enterTask(t *target) *poller.Partition {
	part := x.enterPartition(t)
	entryKey(x.rules.secret, &x.partition, &x.view, &x.key)
	return part
}

// poll copies what a poll needs out of the exchange.
func (x *request) poll(t *target, part *poller.Partition) poller.Request {
	return poller.Request{
		Upstream: t.Upstream, Partition: part, Key: x.key,
		Reference: x.view.Reference(), Credential: x.caller.credential(t), Traceparent: x.traceparent(),
	}
}
