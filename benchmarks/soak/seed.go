package main

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

// storeKey is what the store of the soak is sealed with.
const storeKey = "a key of the soak, not of anybody's"

// fill makes a store at path with so many tasks: a copy of the one that is kept,
// if it is there, else a new one, which is then kept for the next time unless
// kept is empty.
func fill(ctx context.Context, path, kept string, tasks int64) error {
	if kept == "" {
		return seed(ctx, path, tasks)
	}
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		if err := seed(ctx, kept+".new", tasks); err != nil {
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

// seed puts tasks that ended earlier into a new store, as many as a year brings
// together. Nobody asks for them by name, but lists, counts and the index have
// them.
func seed(ctx context.Context, path string, tasks int64) error {
	secret, err := cache.NewSecret([]byte(storeKey))
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path}, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer store.Close()
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range 128 { // the store writes what comes at once in one transaction
		all.Go(func() {
			for n := next.Add(1) - 1; n < tasks && ctx.Err() == nil; n = next.Add(1) - 1 {
				if _, err := store.Put(ctx, old(n)); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 {
		return fmt.Errorf("%d of %d tasks did not get into the store", failed.Load(), tasks)
	}
	return ctx.Err()
}

// old is the n-th of them.
func old(n int64) *cache.Entry {
	at := time.Now().Add(-time.Duration(n) * 30 * time.Second)
	e := &cache.Entry{
		Upstream: "soak", Provider: "soak", Ref: fmt.Sprintf("soak/old-%08x", n), TaskID: fmt.Sprintf("old-%08x", n),
		Status: "completed", NativeStatus: "done", NativeType: "application/json", NativeCode: 200, Terminal: true, Frozen: true,
		CreatedAt: at.Add(-time.Minute), FirstSeen: at.Add(-time.Minute), CompletedAt: at, UpdatedAt: at, ObservedAt: at,
		History:  []cache.Change{{Status: "completed", At: at}},
		Document: fmt.Appendf(nil, `{"id":"old-%08x","output":{"text":"%s"}}`, n, strings.Repeat("An answer of some length. ", 20)),
	}
	binary.BigEndian.PutUint64(e.Key[:], uint64(n)*0x9e3779b97f4a7c15) // keys are hashes: in no order
	binary.BigEndian.PutUint64(e.Partition[:], uint64(n%1000)*0x9e3779b97f4a7c15)
	return e
}
