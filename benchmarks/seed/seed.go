// Package seed makes stores with many tasks in them, for scenarios that begin
// with what a year brings together.
package seed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/cache/sqlite"
)

// Key is what the stores are sealed with: POLLUX_STORE_KEY of whoever opens one.
const Key = "a key of the benchmarks, not of anybody's"

// together is how many tasks are put at once: the store writes what comes at
// once in one transaction.
const together = 1024

// Store makes a store at path with so many tasks of one upstream that ended
// earlier, one every 30 seconds, in a thousand partitions. Nobody asks for them
// by name, but lists, counts and the index have them.
func Store(ctx context.Context, path, upstream string, tasks int) error {
	secret, err := cache.NewSecret([]byte(Key))
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path}, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			for n := next.Add(1); n <= int64(tasks) && ctx.Err() == nil; n = next.Add(1) {
				if _, err := store.Put(ctx, ended(upstream, n)); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	err = ctx.Err()
	if err == nil && failed.Load() > 0 {
		err = fmt.Errorf("%d of %d tasks did not get into the store", failed.Load(), tasks)
	}
	return errors.Join(err, store.Close())
}

// Copy is Store, but copies the store at kept, which it makes for this and later
// times if it is not there. That has to be of the same upstream and size. An
// empty kept keeps none.
func Copy(ctx context.Context, path, kept, upstream string, tasks int) error {
	if kept == "" {
		return Store(ctx, path, upstream, tasks)
	}
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		if err := Store(ctx, kept+".new", upstream, tasks); err != nil {
			return err
		}
		if err := os.Rename(kept+".new", kept); err != nil {
			return err
		}
	}
	from, err := os.Open(kept)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// ended is the n-th task, from 1.
func ended(upstream string, n int64) *cache.Entry {
	id := fmt.Sprintf("old%08x", n)
	at := time.Now().Add(-time.Duration(n) * 30 * time.Second)
	e := &cache.Entry{
		Upstream: upstream, Provider: upstream, Ref: upstream + "/" + id, TaskID: id,
		Status: "completed", NativeStatus: "completed", NativeType: "application/json", NativeCode: 200, Terminal: true, Frozen: true,
		CreatedAt: at.Add(-time.Minute), FirstSeen: at.Add(-time.Minute), CompletedAt: at, UpdatedAt: at, ObservedAt: at,
		History:  []cache.Change{{Status: "completed", At: at}},
		Document: fmt.Appendf(nil, `{"id":%q,"output":{"text":"%s"}}`, id, strings.Repeat("An answer of some length. ", 20)),
	}
	binary.BigEndian.PutUint64(e.Key[:], uint64(n)*0x9e3779b97f4a7c15) // keys are hashes: in no order
	binary.BigEndian.PutUint64(e.Partition[:], uint64(n%1000)*0x9e3779b97f4a7c15)
	return e
}
