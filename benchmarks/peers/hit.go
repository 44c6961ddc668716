package main

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// settle is how long servers may still write what they have learnt before their
// processor time is read.
const settle = 3 * time.Second

// hits compares polls that are answered from memory: 64 connections, each with
// its next poll when it has the answer.
func (b *bench) hits(title string, tasks int, servers ...server) error {
	v, err := newVendor(func(ctx *fasthttp.RequestCtx, _ string) { ctx.SetBodyString(ended(2000)) })
	if err != nil {
		return err
	}
	defer v.close()
	more := ""
	if tasks > 1 {
		more = "; *bare map* finds the body by the target"
	}
	t := table{title: title, text: "64 connections, a document of 2 KB, each client with its next poll when it has the answer. " +
		"*Bare* is fasthttp with the same timeouts, and a handler that sends the same headers and body whatever is asked" + more + ".",
		columns: []string{"", "CPU per poll", "polls/s", "p50", "p99", "of bare"}}
	runs := make([]outcome, len(servers))
	loads := make([]load, len(servers))
	procs := make([]*process, len(servers))
	for i, s := range servers {
		p, err := s.start(b.dir(), v.address, time.Hour)
		if err != nil {
			return err
		}
		defer p.stop()
		requests := make([][]byte, tasks)
		for k := range requests {
			requests[k] = request(p.address, s.path(taskName(k)), "sk-0123456789abcdef0123456789abcdef")
		}
		procs[i] = p
		var turn atomic.Int64
		loads[i] = load{address: p.address, connections: 64, code: 200, next: func(int, int) []byte {
			return requests[turn.Add(1)*7919%int64(tasks)]
		}}
		// Every document once, and once more for whoever keeps it at the second.
		if _, err := loads[i].run(p, time.Minute, int64(2*tasks)); err != nil {
			return err
		}
	}
	polls := v.polls.Load()
	time.Sleep(settle)
	for range b.rounds {
		for i := range servers {
			o, err := loads[i].run(procs[i], b.round, math.MaxInt64)
			if err != nil {
				return err
			}
			runs[i].add(o)
		}
	}
	if n := v.polls.Load() - polls; n > 0 {
		return fmt.Errorf("%d polls were not answered from memory", n)
	}
	floor := runs[slices.IndexFunc(servers, func(s server) bool { return s.name == bareWith(1).name })].perRequest()
	for i, s := range servers {
		o := &runs[i]
		t.add(s.name, micros(o.perRequest()), fmt.Sprintf("%.0f", float64(o.requests)/o.took.Seconds()),
			micros(o.quantile(0.5)), micros(o.quantile(0.99)), times(o.perRequest(), floor))
		t.bar(s.name, float64(o.perRequest())/1e3)
	}
	t.unit = "µs of CPU per poll"
	b.report(t)
	return nil
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }
func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func times(d, floor time.Duration) string {
	return fmt.Sprintf("%.2f ×", float64(d)/float64(max(1, floor)))
}
