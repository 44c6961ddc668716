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
	for i, s := range servers {
		p, err := s.start(b.dir(), v.address, time.Second)
		if err != nil {
			return err
		}
		defer p.stop()
		var serial atomic.Int64
		for k, next := range []func(int, int) []byte{
			func(int, int) []byte {
				return request(p.address, s.path(fmt.Sprintf("r%d", serial.Add(1))), "k")
			},
			func(int, int) []byte {
				return request(p.address, s.path(fmt.Sprintf("r%d", 1+serial.Add(1)%again)), "k")
			},
			func(int, int) []byte {
				return request(p.address, s.path(fmt.Sprintf("e%d", serial.Add(1))), "k")
			},
		} {
			serial.Store(0)
			time.Sleep(settle)
			before, cpu := v.polls.Load(), p.cpu()
			o, err := load{address: p.address, connections: 16, code: 200, next: next}.run(p, time.Duration(b.rounds)*b.round/3+3*time.Second, math.MaxInt64)
			if err != nil {
				return err
			}
			time.Sleep(settle)
			o.cpu = p.cpu() - cpu                // with what is written afterwards
			o.requests = v.polls.Load() - before // those that memory answered cost next to nothing
			results[i][k] = o
		}
		p.stop()
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
