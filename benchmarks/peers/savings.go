package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// savings is a team: 200 clients with habits of their own follow 500 tasks with
// one key, which the vendor allows so many polls a minute.
func (b *bench) savings(servers ...server) error {
	const clients, tasks = 200, 500
	perMinute, window := 100, 10*time.Minute
	if b.short {
		perMinute, window = 600, 75*time.Second
	}
	t := table{title: "A team's polls", unit: "polls that reached the vendor",
		text: fmt.Sprintf("%d clients poll %d tasks (log-normal durations, median 20 s) that begin within the first half of %v, two clients each; "+
			"the vendor answers 429 beyond %d polls a minute, with Retry-After, which clients keep. Some poll every second, some every two or five, some back off up to 20 s. "+
			"*Direct* is without a proxy.", clients, tasks, window, perMinute),
		columns: []string{"", "client polls", "upstream polls", "429 from the vendor", "ends noticed", "after, in the mean"}}
	servers = append([]server{{name: "direct", path: nativePath}}, servers...)
	rows, polls, failed := make([][]string, len(servers)), make([]float64, len(servers)), make([]error, len(servers))
	var all sync.WaitGroup
	for i, s := range servers { // nothing is timed by processors, so all at once
		all.Go(func() { rows[i], polls[i], failed[i] = b.team(s, clients, tasks, perMinute, window) })
	}
	all.Wait()
	for i, s := range servers {
		if failed[i] != nil {
			return fmt.Errorf("%s: %w", s.name, failed[i])
		}
		t.add(rows[i]...)
		t.bar(s.name, polls[i])
	}
	b.report(t)
	return nil
}

func (b *bench) team(s server, clients, tasks, perMinute int, window time.Duration) (row []string, polls float64, err error) {
	g := rand.New(rand.NewPCG(1, 2))
	starts, ends := make([]time.Duration, tasks), make([]time.Duration, tasks)
	for i := range tasks {
		starts[i] = time.Duration(g.Float64() * float64(window/2))
		ends[i] = starts[i] + time.Duration(20*math.Exp(0.8*g.NormFloat64())*float64(time.Second))
	}
	began := time.Now()
	var mu sync.Mutex
	tokens, at := float64(perMinute)/6, began
	var refused atomic.Int64
	end := ended(2000)
	v, err := newVendor(func(ctx *fasthttp.RequestCtx, id string) {
		mu.Lock()
		now := time.Now()
		tokens = min(float64(perMinute)/6, tokens+now.Sub(at).Minutes()*float64(perMinute))
		at = now
		pass := tokens >= 1
		if pass {
			tokens--
		}
		mu.Unlock()
		if !pass {
			refused.Add(1)
			ctx.Response.Header.Set("Retry-After", "2")
			ctx.SetStatusCode(429)
			ctx.SetBodyString(`{"message":"Too Many Requests"}`)
			return
		}
		var n int
		_, _ = fmt.Sscanf(id, "t%d", &n)
		if time.Since(began) >= ends[n] {
			ctx.SetBodyString(end)
		} else {
			ctx.SetBodyString(running)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	defer v.close()
	address := v.address
	if s.start != nil {
		p, err := s.start(b.dir(), v.address, 2*time.Second)
		if err != nil {
			return nil, 0, err
		}
		defer p.stop()
		address = p.address
	}
	mu.Lock()
	began = time.Now()
	mu.Unlock()
	var sent, noticed, late atomic.Int64
	var crowd sync.WaitGroup
	failed := make([]error, clients)
	for i := range clients {
		crowd.Go(func() {
			var all sync.WaitGroup
			for k := i; k < 2*tasks; k += clients {
				all.Go(func() {
					found, n, err := habit(k, address, s.path(fmt.Sprintf("t%d", k%tasks)), began.Add(starts[k%tasks]), began.Add(window))
					sent.Add(n)
					if err != nil {
						failed[i] = err
					} else if !found.IsZero() {
						noticed.Add(1)
						late.Add(int64(max(0, found.Sub(began.Add(ends[k%tasks])))))
					}
				})
			}
			all.Wait()
		})
	}
	crowd.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, 0, err
		}
	}
	mean := time.Duration(float64(late.Load()) / float64(max(1, noticed.Load())))
	return []string{s.name, fmt.Sprint(sent.Load()), fmt.Sprint(v.polls.Load()), fmt.Sprint(refused.Load()),
		fmt.Sprintf("%.0f %%", 100*float64(noticed.Load())/float64(2*tasks)), fmt.Sprintf("%.1f s", mean.Seconds())}, float64(v.polls.Load()), nil
}

// habit polls a task as the kth client would, until it has ended or time is up.
func habit(k int, address, path string, from, until time.Time) (found time.Time, polls int64, err error) {
	time.Sleep(time.Until(from))
	pause := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, time.Second}[k%4]
	c, err := dial(address, 4<<10)
	if err != nil {
		return found, 0, err
	}
	defer func() { c.Close() }()
	ask := request(address, path, "team-key")
	for time.Now().Before(until) {
		code, err := c.do(ask)
		if err != nil { // an idle connection that the server has closed
			c.Close()
			if c, err = dial(address, 4<<10); err == nil {
				code, err = c.do(ask)
			}
		}
		if err != nil {
			return found, polls, err
		}
		polls++
		wait := pause
		switch {
		case code == 200 && (bytes.Contains(c.last.Body(), []byte(`"completed"`))):
			return time.Now(), polls, nil
		case code == 429 || code == 503:
			wait = max(wait, 2*time.Second)
		case k%4 == 3: // backs off
			pause = min(2*pause, 20*time.Second)
		}
		time.Sleep(wait)
	}
	return found, polls, nil
}
