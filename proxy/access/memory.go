package access

import (
	"bytes"

	"pollux/cache"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// TasksPath stands before the name of an upstream and what names a task there.
const TasksPath = "/v1/tasks/"

// memory is who asked for what on a connection, under which rules.
type memory struct {
	rules     *Rules
	upstream  *Upstream
	partition *upstream.Partition // held, so that the engine finds this one and no other under its id
	key       cache.ID
	plain     bool // without If-None-Match
}

// Remember keeps what x was found to be, for the next request of its connection,
// if that must be the same as long as the rules are. A session is not: it ends by
// itself.
func (x *Request) Remember(t *Upstream, part *upstream.Partition) {
	h := &x.Ctx.Request.Header
	last := wire.LastOf(x.Ctx)
	if last == nil || x.Facts.Close || x.Rules.Keyed() && len(h.Peek("Cookie")) > 0 || !last.Keep(h) {
		return
	}
	m, ok := last.Meaning.(*memory)
	if !ok {
		m = &memory{}
		last.Meaning = m
	}
	*m = memory{rules: x.Rules, upstream: t, partition: part, key: x.Key, plain: len(x.IfNoneMatch()) == 0}
}

// Recall returns where x asks, with the key of the task in x.Key, nil unless it is
// in the words of the request before, and under the same rules: for the same task,
// or for another one of the same upstream.
func (x *Request) Recall() (*Upstream, *upstream.Partition) {
	last := wire.LastOf(x.Ctx)
	if last == nil {
		return nil, nil
	}
	h := &x.Ctx.Request.Header
	m, ok := last.Meaning.(*memory)
	switch {
	case !ok || m.rules != x.Rules || !last.Like(h):
		return nil, nil
	case bytes.Equal(last.Target(), h.RequestURI()):
		x.Key = m.key
	case bytes.IndexByte(last.Target(), '?') >= 0 || !x.readTask(m.upstream): // a query may name the caller
		return nil, nil
	default:
		entryKey(x.Rules.Secret, &m.partition.ID, &x.View, &x.Key)
	}
	x.Unconditional = m.plain
	return m.upstream, m.partition
}

// readTask reads a target that names a task of t, and nothing else, into x.View.
func (x *Request) readTask(t *Upstream) bool {
	if !x.Facts.ReadTarget(&x.Ctx.Request.Header) || x.Facts.Query != nil {
		return false
	}
	path, ok := bytes.CutPrefix(x.Facts.Path, []byte(TasksPath))
	name, rest, named := bytes.Cut(path, []byte("/"))
	return ok && named && string(name) == t.Name && t.Parser.ParseURL(&x.View, rest, nil) == nil
}
