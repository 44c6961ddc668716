package tasks

import (
	"net"
	"strconv"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/wire"
)

// batchWorkers is how many references of one batch may be waited for at the
// same time. What memory can answer needs none of them.
const batchWorkers = 64

// ServeBatch answers POST /v1/tasks/batch. What concerns the whole body fails
// the whole batch; what concerns one reference fails that one.
func (s *Service) ServeBatch(x *access.Request) {
	st := x.Rules
	if len(x.Facts.Query) > 0 {
		x.Problem(wire.Invalid("a batch takes no query parameters"))
		return
	}
	c, inHeader, p := st.Authenticate(&x.Ctx.Request.Header, true, st.HeldTargets()...)
	if p == nil {
		p = access.Permit(c, access.ScopeRead, nil)
	}
	if p != nil {
		x.Unauthorized(p, access.KeyChallenge)
		return
	}
	x.Client = c
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
		if refs[i] = st.Resolve(raw); refs[i].Problem == nil {
			refs[i].Problem = access.Permit(c, access.ScopeRead, refs[i].Target)
		}
	}
	callers, err := st.Callers(&x.Ctx.Request.Header, b.credentials, refs, inHeader)
	if err != nil {
		x.Problem(wire.Invalid(err.Error()))
		return
	}
	answers := s.pollAll(x, refs, callers)
	if wait := min(b.wait, x.Settings.Limits.Wait); wait > 0 && !wire.HeldBack(x.Ctx) {
		if p := s.awaitBatch(x, answers, b.untilAny, wait); p != nil {
			x.Problem(p)
			return
		}
	}
	s.writeBatch(x, refs, answers)
}

// pollAll answers every reference, in order. References that memory can answer
// cost no goroutine.
func (s *Service) pollAll(x *access.Request, refs []access.Reference, callers map[*access.Target]*access.Caller) []batchAnswer {
	partitions := map[*access.Target]*poller.Partition{}
	for t, c := range callers {
		if t.Held || c.Sufficient(t) {
			id := new(cache.ID)
			c.Partition(x.Rules.Secret, t, id)
			partitions[t] = x.Rules.Partitions.Partition(t.Upstream, id)
		}
	}
	answers := make([]batchAnswer, len(refs))
	slots := make(chan struct{}, batchWorkers)
	var workers sync.WaitGroup
	for i := range refs {
		r, a := &refs[i], &answers[i]
		if r.Problem != nil {
			a.Problem = r.Problem
			continue
		}
		part := partitions[r.Target]
		if a.part = part; part == nil {
			a.Problem = access.NoCredential(r.Target)
			continue
		}
		req := poller.Request{Upstream: r.Target.Upstream, Partition: part, Reference: r.Ref}
		access.ReferenceKey(x.Rules.Secret, &part.ID, r.Ref, &req.Key)
		req.Credential = callers[r.Target].Credential(r.Target)
		a.request, a.target = req, r.Target
		var ok bool
		if a.Answer, ok = s.engine.Cached(req.Upstream, part, &req.Key, x.Now); ok {
			continue
		}
		req.Traceparent = x.Traceparent()
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			a.Answer = s.pollOne(req)
		})
	}
	workers.Wait()
	return answers
}

// pollOne polls in a goroutine of its own, where a panic would end the process.
func (s *Service) pollOne(r poller.Request) (a poller.Answer) {
	defer func() {
		if v := recover(); v != nil {
			s.life.Panicked(v)
			a = poller.Answer{Problem: &wire.RefusePanic.Problem}
		}
	}()
	return s.engine.Poll(s.life.Polls, r)
}

// batchAnswer is what one reference came to.
type batchAnswer struct {
	poller.Answer
	part    *poller.Partition
	target  *access.Target
	request poller.Request
}

// writeBatch writes the results. Documents are sent from where they are, so a
// batch of large ones takes no memory of its own.
func (s *Service) writeBatch(x *access.Request, refs []access.Reference, answers []batchAnswer) {
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
