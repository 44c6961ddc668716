package main

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// misses compares polls that reach the upstream, over 16 connections: of tasks
// that nobody has asked about yet, running and ended, and of running ones whose
// last answer is no longer fresh.
func (b *bench) misses(servers ...server) error {
	end := ended(2000)
	v, err := newVendor(func(ctx *fasthttp.RequestCtx, id string) {
		if strings.HasPrefix(id, "e") {
			ctx.SetBodyString(end)
		} else {
			ctx.SetBodyString(running)
		}
	})
	if err != nil {
		return err
	}
	defer v.close()
	const again = 6000 // tasks, so that none is asked for twice in a second
	t := table{title: "Upstream polls", unit: "µs of CPU per upstream poll of an unchanged task",
		text: "CPU of the proxy per poll that reached the upstream, over 16 connections, with answers that are good for a second. " +
			"*First*: of a running task that nobody has asked about. *Unchanged*: of a running task once more. *Ended*: of a task that has ended, 2 KB; " +
			"Pollux has it on disk before it answers, and never asks again.",
		columns: []string{"", "first", "unchanged", "ended", "unchanged, in relation", "first", "ended"}}
	results := make([][3]outcome, len(servers))
	procs := make([]*process, len(servers))
	for i, s := range servers {
		p, err := s.start(b.dir(), v.address, time.Second)
		if err != nil {
			return err
		}
		defer p.stop()
		procs[i] = p
	}
	serials := make([][3]atomic.Int64, len(servers))
	for k, name := range []func(n int64) string{
		func(n int64) string { return fmt.Sprintf("r%d", n) },
		func(n int64) string { return fmt.Sprintf("r%d", 1+n%again) },
		func(n int64) string { return fmt.Sprintf("e%d", n) },
	} {
		for range b.rounds {
			for i, s := range servers {
				p, serial := procs[i], &serials[i][k]
				next := func(int, int) []byte { return request(p.address, s.path(name(serial.Add(1))), "k") }
				before, cpu := v.polls.Load(), p.cpu()
				o, err := load{address: p.address, connections: 16, code: 200, next: next}.run(p, b.round, math.MaxInt64)
				if err != nil {
					return err
				}
				time.Sleep(settle / 3)
				o.cpu = p.cpu() - cpu                // with what is written afterwards
				o.requests = v.polls.Load() - before // those that memory answered cost next to nothing
				results[i][k].add(o)
			}
		}
	}
	floor := &results[len(results)-1]
	for i, s := range servers {
		r := &results[i]
		each := func(k int) string { return micros(r[k].perRequest()) }
		of := func(k int) string { return times(r[k].perRequest(), floor[k].perRequest()) }
		t.add(s.name, each(0), each(1), each(2), of(1), of(0), of(2))
		t.bar(s.name, float64(r[1].perRequest())/1e3)
	}
	b.report(t)
	return nil
}
