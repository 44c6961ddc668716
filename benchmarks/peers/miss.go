package main

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// kinds of polls that reach the upstream.
var kinds = []struct {
	title, unit, text string
	id                func(n int64) string
}{
	{"First polls", "µs of CPU per first poll", "Of running tasks that nobody has asked about. Pollux stores each, so that lists have it.",
		func(n int64) string { return fmt.Sprintf("r%d", n) }},
	{"Polls of an unchanged task", "µs of CPU per poll of an unchanged task", "Of running tasks once more, whose last answer, of a second ago, is no longer fresh.",
		func(n int64) string { return fmt.Sprintf("r%d", 1+n%again) }},
	{"Polls of an ended task", "µs of CPU per poll of an ended task", "Of tasks that have ended, with an answer of 2 KB. Pollux has it on disk, with an fsync, before it answers, and never asks again. " +
		"ReverseProxy keeps nothing, nginx a file, Varnish memory.",
		func(n int64) string { return fmt.Sprintf("e%d", n) }},
}

// again is how many tasks are asked about in turns, so that none is twice in a
// second: more than any of the servers can ask in one.
const again = 30_000

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
	for k, kind := range kinds {
		for range b.rounds {
			for i, s := range servers {
				p, serial := procs[i], &serials[i][k]
				next := func(int, int) []byte { return request(p.address, s.path(kind.id(serial.Add(1))), "k") }
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
	for k, kind := range kinds {
		t := table{title: kind.title, unit: kind.unit, columns: []string{"", "CPU per poll", "of ReverseProxy"},
			text: "CPU of the proxy per poll that reached the upstream, over 16 connections. " + kind.text}
		floor := results[len(results)-1][k].perRequest()
		for i, s := range servers {
			each := results[i][k].perRequest()
			t.add(s.name, micros(each), times(each, floor))
			t.bar(s.name, float64(each)/1e3)
		}
		b.report(t)
	}
	return nil
}
