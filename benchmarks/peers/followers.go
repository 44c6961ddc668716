package main

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// followers holds streams of one task open, and measures what each takes and when
// each hears of the end. nginx and Varnish have nothing of the kind: their clients
// poll.
func (b *bench) followers() error {
	t := table{title: "Followers of one task", unit: "KiB of memory for each of them",
		text:    "Event streams of Pollux on one task. Times are from the upstream's answer on, with the clients that read on the same cores.",
		columns: []string{"followers", "memory of each", "half know of the end after", "99 % after", "upstream polls a second"}}
	for _, n := range []int{1000, 10_000} {
		var over atomic.Bool
		var found atomic.Int64
		end := ended(2000)
		v, err := newVendor(func(ctx *fasthttp.RequestCtx, _ string) {
			if over.Load() {
				found.CompareAndSwap(0, time.Now().UnixNano())
				ctx.SetBodyString(end)
				return
			}
			ctx.SetBodyString(running)
		})
		if err != nil {
			return err
		}
		defer v.close()
		p, err := startPollux(b.dir(), v.address, 2*time.Second)
		if err != nil {
			return err
		}
		defer p.stop()
		before := p.resident()
		ask := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer k\r\nAccept: text/event-stream\r\n\r\n", documentPath("job1"), p.address)
		heard := make([]int64, n)
		var failed atomic.Int64
		var streams, crowd sync.WaitGroup
		for i := range n {
			streams.Add(1)
			crowd.Go(func() {
				c, err := dial(p.address, 4<<10)
				if err == nil {
					defer c.Close()
					_, err = c.Write(ask)
				}
				if err != nil {
					failed.Add(1)
					streams.Done()
					return
				}
				first := true
				for {
					line, err := c.r.ReadSlice('\n')
					if first {
						first = false
						streams.Done()
					}
					if bytes.Contains(line, []byte(`"completed"`)) {
						heard[i] = time.Now().UnixNano()
						return
					}
					if err != nil && len(line) == 0 {
						failed.Add(1)
						return
					}
				}
			})
			if i%200 == 199 {
				time.Sleep(20 * time.Millisecond) // the queue of connections is 4096 at most
			}
		}
		streams.Wait()
		time.Sleep(3 * time.Second)
		each := float64(p.resident()-before) / float64(n) / 1024
		polls, since := v.polls.Load(), time.Now()
		time.Sleep(4 * time.Second)
		rate := float64(v.polls.Load()-polls) / time.Since(since).Seconds()
		over.Store(true)
		crowd.Wait()
		p.stop()
		if failed.Load() > 0 {
			return fmt.Errorf("%d of %d streams broke", failed.Load(), n)
		}
		for i := range heard {
			heard[i] -= found.Load()
		}
		slices.Sort(heard)
		name := fmt.Sprintf("%d", n)
		t.add(name, fmt.Sprintf("%.1f KiB", each), millis(time.Duration(heard[n/2])), millis(time.Duration(heard[n*99/100])), fmt.Sprintf("%.2f", rate))
		t.bar(name, each)
	}
	b.report(t)
	return nil
}
