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
func (s *Server) serveBatch(x *exchange) {
	st := x.settings
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
	b, err := parseBatch(body, st.Limits.Batch)
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
	callers, err := s.batchCallers(x, b, refs, inHeader)
	if err != nil {
		x.problem(invalid(err.Error()))
		return
	}
	answers := s.pollAll(x, refs, callers)
	if wait := min(b.wait, st.Limits.Wait); wait > 0 && !heldBack(x.ctx) {
		if p := s.awaitBatch(x, answers, b.untilAny, wait); p != nil {
			x.problem(p)
			return
		}
	}
	s.writeBatch(x, refs, answers)
}

// heldTargets are the upstreams whose credential headers may carry a Pollux key.
func (st *settings) heldTargets() []*target {
	var held []*target
	for _, t := range st.sorted {
		if t.Held {
			held = append(held, t)
		}
	}
	return held
}

// batchCallers makes the caller of every upstream that references name. The
// headers of the request itself serve when they can be meant for one upstream
// only, and carry no Pollux key.
func (s *Server) batchCallers(x *exchange, b batchRequest, refs []reference, inHeader bool) (map[*target]*caller, error) {
	byName := map[string]*target{}
	for name := range b.credentials {
		t := x.settings.targets[name]
		if t == nil || t.Held {
			return nil, errCredentialsUpstream
		}
		byName[name] = t
	}
	callers := map[*target]*caller{}
	named := 0
	for i := range refs {
		t := refs[i].target
		if t == nil || callers[t] != nil {
			continue
		}
		callers[t] = &caller{}
		callers[t].reset(t)
		if !t.Held {
			named++
		}
	}
	for name, t := range byName {
		c := callers[t]
		if c == nil {
			c = &caller{}
			c.reset(t)
		}
		if err := c.readFields(t, b.credentials[name]); err != nil {
			return nil, err
		}
	}
	if named == 1 && !inHeader {
		for t, c := range callers {
			if _, given := b.credentials[t.Name]; !t.Held && !given {
				c.readHeaders(t, &x.ctx.Request.Header)
			}
		}
	}
	return callers, nil
}

// pollAll answers every reference, in order. References that memory can answer
// cost no goroutine.
func (s *Server) pollAll(x *exchange, refs []reference, callers map[*target]*caller) []batchAnswer {
	partitions := map[*target]*poller.Partition{}
	for t, c := range callers {
		if t.Held || c.sufficient(t) {
			id := new(cache.ID)
			c.partition(s.secret, t, id)
			partitions[t] = s.engine.Partition(t.Upstream, id)
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
		referenceKey(s.secret, &part.ID, r.ref, &req.Key)
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
func (s *Server) pollOne(r poller.Request) (a poller.Answer) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v)
			a = poller.Answer{Problem: &refusePanic.Problem}
		}
	}()
	return s.engine.Poll(s.base, r)
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
func (s *Server) writeBatch(x *exchange, refs []reference, answers []batchAnswer) {
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
		text = strconv.AppendInt(append(text, `,"age":`...), ageSeconds(a.Entry, now), 10)
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
