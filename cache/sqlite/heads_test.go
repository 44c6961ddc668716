package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// heavy opens a store of n tasks with bodies of 1 MiB.
func heavy(t testing.TB, n int) *Store {
	t.Helper()
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	body := make([]byte, 1<<20)
	for i := range body { // incompressible enough
		body[i] = byte(i * i * (i >> 3) >> 5)
	}
	for i := range n {
		e := storetest.Listed(i, 0, "failed", i)
		e.Native = body
		mustPut(t, s, e)
	}
	return s
}

var heavyPage = cache.Query{Sight: cache.Sight{All: true}, Limit: 200, Descending: true}

// TestListReadsNoBodies: a page of 200 rows with bodies of 1 MiB allocates less
// than two of them.
func TestListReadsNoBodies(t *testing.T) {
	const rows = 200
	s := heavy(t, rows)
	list := func() {
		got, _, err := s.List(context.Background(), &heavyPage)
		if err != nil || len(got) != rows {
			t.Fatalf("%d rows, %v", len(got), err)
		}
	}
	list()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 && !raceEnabled {
		t.Errorf("a page of %d rows allocated %d bytes, want at most 2 MiB", rows, n)
	}
}

// BenchmarkListHeavy lists 200 rows with bodies of 1 MiB: under 20 ms.
func BenchmarkListHeavy(b *testing.B) {
	s := heavy(b, 200)
	b.ReportAllocs()
	for b.Loop() {
		if rows, _, err := s.List(context.Background(), &heavyPage); err != nil || len(rows) != 200 {
			b.Fatal(len(rows), err)
		}
	}
}

// TestFailedOperationFailsAlone: what shares a transaction with it is written.
func TestFailedOperationFailsAlone(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	w := &writer{Store: s}
	boom := errors.New("boom")
	calls := 0
	for n := range 5 {
		e := storetest.Frozen(n, 1)
		w.batch = append(w.batch, &write{key: e.Key, entry: e, value: s.secret.SealEntry(e)})
	}
	w.batch[2] = &write{record: func(*sql.Tx) error { calls++; return boom }}
	state := cache.PartitionState{Upstream: "orq"}
	outcomes := make([]outcome, len(w.batch))
	err := w.commit(s.file.Load(), outcomes, map[cache.ID]cache.PartitionState{*storetest.Key(9): state})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	for n := range w.batch {
		if failed := outcomes[n].err != nil; failed != (n == 2) {
			t.Errorf("operation %d: %v", n, outcomes[n].err)
		}
		if n == 2 {
			continue
		}
		if _, err := s.Get(context.Background(), storetest.Key(n)); err != nil {
			t.Errorf("Get(%d): %v", n, err)
		}
	}
	if got, err := s.Partition(context.Background(), storetest.Key(9)); err != nil || got != state {
		t.Errorf("Partition: %v, %v", got, err)
	}
	if n := s.Counts(&cache.Sight{All: true})["shannon"]["completed"]; n != 4 || calls != 2 {
		t.Errorf("%d tasks counted, want 4; the failing operation was tried %d times", n, calls)
	}
}

// TestPartitionsEnd: the state of a partition goes when it was not used for a
// while and no task is of it, and not before.
func TestPartitionsEnd(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	old := time.Now().Add(-2 * idlePartition).UnixMicro()
	e := storetest.Running(1, 1)
	const idle = 2*expireStep + 7
	for n := range idle {
		s.PutPartition(storetest.Key(1000+n), cache.PartitionState{Upstream: "orq", Suspended: true})
	}
	s.PutPartition(&e.Partition, cache.PartitionState{Upstream: "shannon"})
	mustPut(t, s, e)
	if _, err := s.file.Load().write.Exec("UPDATE partitions SET touched_at = ?1", old); err != nil {
		t.Fatal(err)
	}
	s.PutPartition(storetest.Key(5), cache.PartitionState{Upstream: "orq"})
	mustPut(t, s, storetest.Running(2, 1))
	w := &writer{Store: s}
	for range 10 {
		w.expire()
	}
	var left int
	if err := s.file.Load().read.QueryRow("SELECT count(*) FROM partitions").Scan(&left); err != nil || left != 2 {
		t.Errorf("%d of %d partitions left, %v, want 2", left, idle+2, err)
	}
	for _, id := range []*cache.ID{&e.Partition, storetest.Key(5)} {
		if _, err := s.Partition(context.Background(), id); err != nil {
			t.Errorf("a partition that is in use: %v", err)
		}
	}
}

// TestEventIsStoredOnce: the deliveries of one event share its payload, which
// goes with the last of them.
func TestEventIsStoredOnce(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	payloads := func() (n int) {
		if err := s.file.Load().read.QueryRow("SELECT count(*) FROM events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, o := range []cache.Outbox{s, &cache.MemoryOutbox{}} {
		for n := range 10 {
			webhook := fmt.Sprintf("w%d", n)
			must(t, o.PutWebhook(ctx, cache.Webhook{ID: webhook, Value: []byte("v")}))
			must(t, o.AddDelivery(ctx, cache.Delivery{ID: "d" + webhook, Webhook: webhook, Event: "e", Payload: []byte("payload"), State: []byte("s")}))
		}
		if n := payloads(); o == s && n != 1 {
			t.Errorf("one event is stored %d times", n)
		}
		for n := range 9 {
			must(t, o.DeleteWebhook(ctx, fmt.Sprintf("w%d", n)))
		}
		if payload, err := o.DeliveryPayload(ctx, "dw9"); err != nil || string(payload) != "payload" {
			t.Errorf("payload of the last delivery: %q, %v", payload, err)
		}
		must(t, o.DeleteWebhook(ctx, "w9"))
		if n := payloads(); n != 0 {
			t.Errorf("%d payloads left after all deliveries went", n)
		}
	}
}

// TestPublishedLostPublished: what is stored again after it was lost causes the
// same delivery, once.
func TestPublishedLostPublished(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, filepath.Join(t.TempDir(), "pollux.db"))
	s.OnPut(func(e *cache.Entry) []cache.Delivery {
		return []cache.Delivery{{ID: "d", Webhook: "w", Event: "e", Payload: e.Document, State: []byte("s")}}
	})
	must(t, s.PutWebhook(ctx, cache.Webhook{ID: "w", Value: []byte("v")}))
	mustPut(t, s, storetest.Frozen(1, 1))
	must(t, s.SetDeliveryState(ctx, "d", []byte("sent")))
	if _, err := s.Delete(ctx, storetest.Key(1), 1); err != nil {
		t.Fatal(err)
	}
	again := storetest.Frozen(1, 2)
	again.Generation = 1
	mustPut(t, s, again)
	_, deliveries, err := s.Webhooks(ctx)
	if err != nil || len(deliveries) != 1 || string(deliveries[0].State) != "sent" {
		t.Errorf("deliveries %+v, %v, want the one that was sent", deliveries, err)
	}
}

// TestVersionsSurvive: versions do not begin before those in the file, whatever
// the clock says.
func TestVersionsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	s, _ := open(t, path)
	e := storetest.Running(1, 1)
	e.Version = 1 << 62
	mustPut(t, s, e)
	mustClose(t, s)
	s, _ = open(t, path)
	if v, err := cache.Alone(s).Next(context.Background()); err != nil || v <= 1<<62 {
		t.Errorf("the next version is %d, %v, want more than %d", v, err, uint64(1<<62))
	}
}
