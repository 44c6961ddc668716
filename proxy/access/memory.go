package access

import (
	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// Memory is who asked for what on a connection, under which rules.
type Memory struct {
	rules     *Rules
	Target    *Target
	Partition *upstream.Partition // held, so that the engine finds this one and no other under its id
	Key       cache.ID
}

// Remember keeps what x was found to be, for the next request of its connection,
// if that must be the same as long as the rules are. A session is not: it ends by
// itself.
func (x *Request) Remember(t *Target, part *upstream.Partition) {
	h := &x.Ctx.Request.Header
	last := wire.LastOf(x.Ctx)
	if last == nil || x.Facts.Close || x.Rules.Keyed() && len(h.Peek("Cookie")) > 0 || !last.Keep(h) {
		return
	}
	m, ok := last.Meaning.(*Memory)
	if !ok {
		m = &Memory{}
		last.Meaning = m
	}
	*m = Memory{rules: x.Rules, Target: t, Partition: part, Key: x.Key}
}

// Recall returns what is known of x from before, nil unless it is the same
// request under the same rules.
func (x *Request) Recall() *Memory {
	last := wire.LastOf(x.Ctx)
	if last == nil {
		return nil
	}
	if m, ok := last.Meaning.(*Memory); ok && m.rules == x.Rules && last.Is(&x.Ctx.Request.Header) {
		return m
	}
	return nil
}
