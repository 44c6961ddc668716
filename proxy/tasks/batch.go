package tasks

import (
	"context"
	"net"
	"strconv"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/wire"
)

// ServeBatch answers POST /v1/tasks/batch. What concerns the whole body fails
// the whole batch; what concerns one reference fails that one.
func (s *Service) ServeBatch(x *access.Request) {
	st := x.Rules
	if len(x.Facts.Query) > 0 {
		x.Problem(wire.Invalid("a batch takes no query parameters"))
		return
	}
	inHeader, denied := x.Admit(access.ScopeRead)
	if denied != nil {
		x.Deny(denied)
		return
	}
	body, ok := x.WantedBody()
	if !ok {
		return
	}
	b, err := parseBatch(body, x.Settings.Limits.Batch)
	if err != nil {
		x.Problem(wire.Invalid(err.Error()))
		return
	}
	refs := make([]access.Reference, len(b.tasks))
	for i, raw := range b.tasks {
		refs[i] = st.Resolve(raw, x.Client, access.ScopeRead)
	}
	callers, err := st.Callers(&x.Ctx.Request.Header, b.credentials, refs, inHeader)
	if err != nil {
		x.Problem(wire.Invalid(err.Error()))
		return
	}
	g := &Group{Rules: st, Grant: x.Grant(access.ScopeRead), Limits: x.Settings.Limits, Cache: x.Directives(), Traceparent: x.Traceparent(), Span: x.Span}
	answers := s.pollAll(g, refs, callers)
	if wait := min(b.wait, x.Settings.Limits.Wait); wait > 0 && !g.Cache.OnlyIfCached && !wire.HeldBack(x.Ctx) {
		ctx, cancel := context.WithTimeout(s.life.Polls, wait)
		defer cancel()
		if p := s.awaitAll(ctx, g, answers, func() bool { return enough(answers, b.untilAny) || x.Left() }); p != nil {
			x.Problem(p)
			return
		}
	}
	s.writeBatch(x, refs, answers)
}

// writeBatch writes the results. Documents are sent from where they are, so a
// batch of large ones takes no memory of its own.
func (s *Service) writeBatch(x *access.Request, refs []access.Reference, answers []groupAnswer) {
	now := time.Now()
	var out net.Buffers
	size := 0
	add := func(b []byte) {
		out = append(out, b)
		size += len(b)
	}
	var text []byte // collects what lies between documents
	text = append(text, `{"results":[`...)
	for i := range answers {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, `{"task":`...), refs[i].Echo...)
		a := &answers[i]
		if p := a.Problem; p != nil {
			text = strconv.AppendInt(append(text, `,"status_code":`...), int64(p.Status), 10)
			text = append(text, `,"problem":`...)
			text = append(p.AppendJSON(text, x.Settings.PublicURL), '}')
			continue
		}
		text = append(text, `,"status_code":200,"cache_status":`...)
		text = wire.AppendString(text, string(a.Cache.Append(nil)))
		text = strconv.AppendInt(append(text, `,"age":`...), int64(a.Entry.Age(now)/time.Second), 10)
		text = append(text, `,"document":`...)
		add(text)
		add(a.Entry.Document)
		text = []byte{'}'}
	}
	add(append(text, `]}`...))
	x.SetHeader(wire.HeaderContentType, wire.TypeJSON)
	x.SetHeader(wire.HeaderCacheControl, wire.NoStore)
	x.SetHeader(wire.HeaderSniff, wire.NoSniff)
	x.Ctx.Response.SetBodyStream(&out, size)
}
