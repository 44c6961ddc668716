package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"pollux/cache"
	"pollux/cache/sqlite"
)

const scaleKey = "a key of the benchmarks, not of anybody's"

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
	if err := os.Setenv("POLLUX_STORE_KEY", scaleKey); err != nil {
		return err
	}
	defer os.Unsetenv("POLLUX_STORE_KEY")
	var least int64
	for _, n := range sizes {
		dir := b.dir()
		if err := seed(filepath.Join(dir, "pollux.db"), n); err != nil {
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

// seed makes a store with so many tasks of a thousand partitions.
func seed(path string, tasks int) error {
	secret, err := cache.NewSecret([]byte(scaleKey))
	if err != nil {
		return err
	}
	store, err := sqlite.Open(context.Background(), sqlite.Config{Path: path}, secret, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range 128 { // the store writes what comes at once in one transaction
		all.Go(func() {
			for n := next.Add(1) - 1; n < int64(tasks); n = next.Add(1) - 1 {
				if _, err := store.Put(context.Background(), old(n)); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 {
		err = fmt.Errorf("%d of %d tasks did not get into the store", failed.Load(), tasks)
	}
	return errors.Join(err, store.Close())
}

func old(n int64) *cache.Entry {
	at := time.Now().Add(-time.Duration(n) * 10 * time.Second)
	e := &cache.Entry{
		Upstream: "vessl", Provider: "vessl", Ref: fmt.Sprintf("vessl/old%08x", n), TaskID: fmt.Sprintf("old%08x", n),
		Status: "completed", NativeStatus: "completed", NativeType: "application/json", NativeCode: 200, Terminal: true, Frozen: true,
		CreatedAt: at.Add(-time.Minute), FirstSeen: at.Add(-time.Minute), CompletedAt: at, UpdatedAt: at, ObservedAt: at,
		History:  []cache.Change{{Status: "completed", At: at}},
		Document: fmt.Appendf(nil, `{"id":"old%08x","output":{"text":"%s"}}`, n, strings.Repeat("An answer of some length. ", 20)),
	}
	binary.BigEndian.PutUint64(e.Key[:], uint64(n+1)*0x9e3779b97f4a7c15) // keys are hashes: in no order
	binary.BigEndian.PutUint64(e.Partition[:], uint64(n%1000)*0x9e3779b97f4a7c15)
	return e
}
