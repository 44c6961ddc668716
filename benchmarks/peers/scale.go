package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/benchmarks/seed"
)

// scale starts Pollux on a store that has more and more tasks.
func (b *bench) scale() error {
	sizes := []int{1000, 10_000, 100_000, 1_000_000}
	if b.short {
		sizes = sizes[:3]
	}
	v, err := newVendor(func(ctx *fasthttp.RequestCtx, _ string) { ctx.SetBodyString(ended(2000)) })
	if err != nil {
		return err
	}
	defer v.close()
	t := table{title: "More and more tasks", unit: "ms until Pollux is ready",
		text:    "Pollux on a store of so many ended tasks of 600 bytes. A hit is a task in memory, over one connection; a list is the latest 50 of all.",
		columns: []string{"tasks", "ready after", "memory then", "memory of each task", "on disk, each", "hit, p50", "list, p50"}}
	if err := os.Setenv("POLLUX_STORE_KEY", seed.Key); err != nil {
		return err
	}
	defer os.Unsetenv("POLLUX_STORE_KEY")
	var least int64
	for _, n := range sizes {
		dir := b.dir()
		if err := seed.Store(context.Background(), filepath.Join(dir, "pollux.db"), "vessl", n); err != nil {
			return err
		}
		began := time.Now()
		p, err := startPollux(dir, v.address, 2*time.Second)
		if err != nil {
			return err
		}
		defer p.stop()
		ready := time.Since(began)
		memory := p.resident()
		if least == 0 {
			least = memory
		}
		file, err := os.Stat(filepath.Join(dir, "pollux.db"))
		if err != nil {
			return err
		}
		hit, err := one(p, request(p.address, documentPath("task1"), "k"), 2000)
		if err != nil {
			return err
		}
		list, err := one(p, fmt.Appendf(nil, "GET /v1/tasks?limit=50 HTTP/1.1\r\nHost: %s\r\n\r\n", p.address), 50)
		if err != nil {
			return err
		}
		p.stop()
		t.add(fmt.Sprint(n), millis(ready), fmt.Sprintf("%.0f MiB", float64(memory)/(1<<20)), fmt.Sprintf("%.0f B", math.Max(0, float64(memory-least)/float64(n))),
			fmt.Sprintf("%.0f B", float64(file.Size())/float64(n)), micros(hit.quantile(0.5)), micros(list.quantile(0.5)))
		t.bar(fmt.Sprint(n), float64(ready)/1e6)
	}
	b.report(t)
	return nil
}

func one(p *process, ask []byte, n int64) (outcome, error) {
	return load{address: p.address, connections: 1, code: 200, next: func(int, int) []byte { return ask }}.run(p, time.Minute, n)
}
