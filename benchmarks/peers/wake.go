package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// wake lets a thousand clients ask for one task at once, which the upstream takes
// a second and a half to answer, and measures when each of them has the answer.
func (b *bench) wake(servers ...server) error {
	const clients = 1000
	var answered atomic.Int64
	v, err := newVendor(func(ctx *fasthttp.RequestCtx, _ string) {
		time.Sleep(1500 * time.Millisecond)
		ctx.SetBodyString(running)
		answered.Store(time.Now().UnixNano())
	})
	if err != nil {
		return err
	}
	defer v.close()
	t := table{title: "1,000 clients ask for one task", unit: "ms until 99 % of the clients have the answer",
		text: "All ask at once, and the upstream takes 1.5 s to answer. The times are from that answer on; the clients that read are on the same cores. " +
			"*A bare broadcast* is fasthttp, where all wait for one channel to close.",
		columns: []string{"", "upstream polls", "half awake after", "99 % after", "the last after"}}
	for _, s := range servers {
		p, err := s.start(b.dir(), v.address, 5*time.Second)
		if err != nil {
			return err
		}
		defer p.stop()
		conns := make([]*connection, clients)
		for i := range conns {
			if conns[i], err = dial(p.address, 4<<10); err != nil {
				return err
			}
			defer conns[i].Close()
		}
		var delays []time.Duration
		before := v.polls.Load()
		rounds := max(2, b.rounds/2)
		for n := range rounds {
			took, err := together(conns, request(p.address, s.path(fmt.Sprintf("job%d", n)), "k"), &answered)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			delays = append(delays, took...)
		}
		slices.Sort(delays)
		at := func(q float64) time.Duration { return delays[int(q*float64(len(delays)-1))] }
		t.add(s.name, fmt.Sprintf("%.1f", float64(v.polls.Load()-before)/float64(rounds)), millis(at(0.5)), millis(at(0.99)), millis(at(1)))
		t.bar(s.name, float64(at(0.99))/1e6)
	}
	b.report(t)
	return nil
}

// together sends a request on every connection, and returns how long after the
// upstream's answer each had its own.
func together(conns []*connection, request []byte, answered *atomic.Int64) (took []time.Duration, err error) {
	got := make([]int64, len(conns))
	failed := make([]error, len(conns))
	var crowd sync.WaitGroup
	for i, c := range conns {
		crowd.Go(func() {
			code, err := c.do(request)
			if got[i], failed[i] = time.Now().UnixNano(), err; err == nil && code != 200 {
				failed[i] = fmt.Errorf("answered %d", code)
			}
		})
	}
	crowd.Wait()
	for _, at := range got {
		took = append(took, max(0, time.Duration(at-answered.Load())))
	}
	return took, errors.Join(failed...)
}
