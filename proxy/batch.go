package proxy

import (
	"net"
	"strconv"
	"sync"
	"time"

	"pollux/cache"
	"pollux/proxy/poller"
)

// batchWorkers is how many references of one batch may be waited for at the
// same time. What memory can answer needs none of them.
const batchWorkers = 64

// serveBatch answers POST /v1/tasks/batch. What concerns the whole body fails
// the whole batch; what concerns one reference fails that one.
func (s *taskService) serveBatch(x *request) {
	st := x.rules
	if len(x.facts.query) > 0 {
		x.problem(invalid("a batch takes no query parameters"))
		return
	}
	c, inHeader, p := st.authenticate(&x.ctx.Request.Header, true, st.heldTargets()...)
	if p == nil {
		p = permit(c, ScopeRead, nil)
	}
	if p != nil {
		x.unauthorized(p, keyChallenge)
		return
	}
	body, ok := x.wantedBody()
	if !ok {
		return
	}
	b, err := parseBatch(body, x.settings.Limits.Batch)
	if err != nil {
		x.problem(invalid(err.Error()))
		return
	}
	refs := make([]reference, len(b.tasks))
	for i, raw := range b.tasks {
		if refs[i] = st.resolve(raw); refs[i].problem == nil {
			refs[i].problem = permit(c, ScopeRead, refs[i].target)
		}
	}
	callers, err := st.callersOf(&x.ctx.Request.Header, b.credentials, refs, inHeader)
	if err != nil {
		x.problem(invalid(err.Error()))
		return
	}
	answers := s.pollAll(x, refs, callers)
	if wait := min(b.wait, x.settings.Limits.Wait); wait > 0 && !heldBack(x.ctx) {
		if p := s.awaitBatch(x, answers, b.untilAny, wait); p != nil {
			x.problem(p)
			return
		}
	}
	s.writeBatch(x, refs, answers)
}

// pollAll answers every reference, in order. References that memory can answer
// cost no goroutine.
func (s *taskService) pollAll(x *request, refs []reference, callers map[*target]*caller) []batchAnswer {
	partitions := map[*target]*poller.Partition{}
	for t, c := range callers {
		if t.Held || c.sufficient(t) {
			id := new(cache.ID)
			c.partition(x.rules.secret, t, id)
			partitions[t] = x.rules.partitions.Partition(t.Upstream, id)
		}
	}
	answers := make([]batchAnswer, len(refs))
	slots := make(chan struct{}, batchWorkers)
	var workers sync.WaitGroup
	for i := range refs {
		r, a := &refs[i], &answers[i]
		if r.problem != nil {
			a.Problem = r.problem
			continue
		}
		part := partitions[r.target]
		if a.part = part; part == nil {
			a.Problem = noCredential(r.target)
			continue
		}
		req := poller.Request{Upstream: r.target.Upstream, Partition: part, Reference: r.ref}
		referenceKey(x.rules.secret, &part.ID, r.ref, &req.Key)
		req.Credential = callers[r.target].credential(r.target)
		a.request, a.target = req, r.target
		var ok bool
		if a.Answer, ok = s.engine.Cached(req.Upstream, part, &req.Key, x.now); ok {
			continue
		}
		req.Traceparent = x.traceparent()
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
func (s *taskService) pollOne(r poller.Request) (a poller.Answer) {
	defer func() {
		if v := recover(); v != nil {
			s.life.panicked(v)
			a = poller.Answer{Problem: &refusePanic.Problem}
		}
	}()
	return s.engine.Poll(s.life.polls, r)
}

// batchAnswer is what one reference came to.
type batchAnswer struct {
	poller.Answer
	part    *poller.Partition
	target  *target
	request poller.Request
}

// writeBatch writes the results. Documents are sent from where they are, so a
// batch of large ones takes no memory of its own.
func (s *taskService) writeBatch(x *request, refs []reference, answers []batchAnswer) {
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
		text = append(append(text, `{"task":`...), refs[i].echo...)
		a := &answers[i]
		if p := a.Problem; p != nil {
			text = strconv.AppendInt(append(text, `,"status_code":`...), int64(p.Status), 10)
			text = append(text, `,"problem":`...)
			text = append(p.AppendJSON(text, x.settings.publicURL), '}')
			continue
		}
		text = append(text, `,"status_code":200,"cache_status":`...)
		text = appendJSONString(text, string(a.Cache.Append(nil)))
		text = strconv.AppendInt(append(text, `,"age":`...), int64(a.Entry.Age(now)/time.Second), 10)
		text = append(text, `,"document":`...)
		add(text)
		add(a.Entry.Document)
		text = []byte{'}'}
	}
	add(append(text, `]}`...))
	x.setHeader(headerContentType, typeJSON)
	x.setHeader(headerCacheControl, noStore)
	x.setHeader(headerSniff, noSniff)
	x.ctx.Response.SetBodyStream(&out, size)
}
