package poller

import (
	"context"
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

// TestOneWayIn keeps learn the only place where entries are put into memory,
// written to the store or removed from either, and observers are told of them.
func TestOneWayIn(t *testing.T) {
	reserved := map[string][]string{
		"memory": {"Put", "Delete"}, "store": {"Put", "PutLater", "Delete", "Commit", "CommitLater"}, "o": {"Published", "Lost"},
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of := ""
			switch x := method.X.(type) {
			case *ast.Ident:
				of = x.Name
			case *ast.SelectorExpr:
				of = x.Sel.Name
			}
			for _, name := range reserved[of] {
				if method.Sel.Name != name {
					continue
				}
				if found++; file.Name() != "learn.go" {
					t.Errorf("%s: %s.%s: only learn does that", fset.Position(call.Pos()), of, name)
				}
			}
			return true
		})
	}
	if found < 8 {
		t.Errorf("%d calls were found, so this test looks at the wrong ones", found)
	}
}

// diary is an observer that writes down everything.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) Published(e *cache.Entry) {
	line := e.TaskID + " " + e.Status
	if e.Frozen {
		line += " for good"
	}
	d.add(line)
}
func (d *diary) Lost(_ *cache.ID, why *problem.Problem)    { d.add("lost: " + string(why.Type)) }
func (d *diary) Suspended(_ *cache.ID, _ *problem.Problem) { d.add("suspended") }
func (d *diary) Resumed(*cache.ID)                         { d.add("resumed") }

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := strings.Join(d.lines, ", "); got != strings.Join(want, ", ") {
		t.Errorf("observers were told\n\t%s, want\n\t%s", got, strings.Join(want, ", "))
	}
}

func TestObserversHearWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "vessl", inTurn(vesslPending, vesslPending, vesslRunning, vesslRunning, vesslDone, vesslDone))
		d := &diary{}
		b.Observe(d)
		for range 6 {
			b.poll("a", "job1")
			time.Sleep(3 * time.Second)
		}
		d.want(t, "job1 queued", "job1 in_progress", "job1 completed for good")
	})
}

// TestRefillTellsFollowers: what another process, or this one before a restart,
// has learnt is told when it is read from the store.
func TestRefillTellsFollowers(t *testing.T) {
	store := newMemStore()
	newBenchOver(t, store, "vessl", always(200, vesslDone)).poll("a", "job1")
	b := newBenchOver(t, store, "vessl", refuse)
	d := &diary{}
	b.Observe(d)
	for range 3 {
		b.want(b.poll("a", "job1"), "200 completed; pollux; hit; detail=terminal")
	}
	d.want(t, "job1 completed for good")
}

// TestRefusedSettlingPoll: the upstream refuses the credential to the settling
// poll. The task freezes, and nobody is told anything of the partition any more.
func TestRefusedSettlingPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Bool
		b := newBench(t, "shannon", func(int64, *http.Request) (*http.Response, error) {
			if refused.Load() {
				return reply(401, `{"error":"Invalid API key"}`)
			}
			return reply(200, shannonBody("COMPLETED", ""))
		})
		d := &diary{}
		b.Observe(d)
		b.poll("a", "task_1")
		refused.Store(true)
		time.Sleep(time.Minute)
		d.want(t, "task_1 completed", "suspended")
		r := b.request("a", "task_1")
		if e, ok := b.memory.Get(&r.Key); !ok || !e.Frozen {
			t.Error("the task is not frozen")
		}
		refused.Store(false)
		b.poll("a", "task_1")
		if len(d.lines) < 3 || d.lines[2] != "resumed" {
			t.Errorf("told %v, want that the partition is resumed first", d.lines)
		}
	})
}

// TestForgetWhileTheStoreIsRead: an entry that was read from the store before
// the task was forgotten does not come back.
func TestForgetWhileTheStoreIsRead(t *testing.T) {
	b := newBench(t, "vessl", refuse)
	r := b.request("a", "job1")
	seed := newBenchOver(t, b.store, "vessl", always(200, vesslRunning))
	seed.poll("a", "job1")
	reading, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.store.onGet = func() { once.Do(func() { close(reading); <-release }) }
	answer := make(chan Answer)
	r.OnlyIfCached = true
	go func() { answer <- b.Poll(context.Background(), r) }()
	<-reading
	if err := b.Forget(&r.Key); err != nil {
		t.Fatal(err)
	}
	close(release)
	b.want(<-answer, "504 not-cached; pollux")
	if _, ok := b.memory.Get(&r.Key); ok {
		t.Error("a forgotten task came back from a read that began before")
	}
}

// TestSlowStoreDelaysOneKey: a terminal answer waits for the disk, and nothing
// else does.
func TestSlowStoreDelaysOneKey(t *testing.T) {
	b := newBench(t, "vessl", always(200, vesslDone))
	writing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.store.onPut = func() {
		once.Do(func() { close(writing); <-release })
	}
	first := make(chan Answer)
	go func() { first <- b.poll("a", "job1") }()
	<-writing
	for i := range 4096 { // so many that every stripe is met
		if err := b.Forget(&cache.ID{8: byte(i), 9: byte(i >> 8)}); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	b.want(<-first, "200 completed; pollux; fwd=uri-miss; stored")
}

// TestLateAnswerReplacesNothing: of two polls of one task the one that was asked
// later is the newer, whichever answers first.
func TestLateAnswerReplacesNothing(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, "orq", func(n int64, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			<-release
			return reply(200, orqBody("in_progress"))
		}
		return reply(200, orqBody("completed"))
	})
	late := make(chan Answer)
	go func() { late <- b.poll("a", "agent/t1") }()
	for b.polls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.Register(b.request("a", "agent/t1"), time.Time{}) // the next poll is one of its own
	b.want(b.poll("a", "agent/t1"), "200 completed; pollux; fwd=stale; stored")
	close(release)
	if a := <-late; a.Entry == nil || a.Entry.Status != "completed" {
		t.Errorf("the late answer is %s, want what is known meanwhile", said(a))
	}
	b.want(b.poll("a", "agent/t1"), "200 completed; pollux; hit; ttl=60")
}

func TestClockSetBackOverARestart(t *testing.T) {
	store := newMemStore()
	newBenchOver(t, store, "vessl", always(200, vesslPending)).poll("a", "job1")
	for key, e := range store.entries {
		e.Version += uint64(24 * time.Hour)
		e.FreshUntil = time.Time{}
		store.entries[key] = e
	}
	b := newBenchOver(t, store, "vessl", always(200, vesslRunning))
	b.want(b.poll("a", "job1"), "200 in_progress; pollux; fwd=stale; stored")
}

// TestEvictedPartitionIsRefusedToo: a partition fell out of the table while a
// watch holds it. What the watched poll hears of its credential holds for
// whoever asks.
func TestEvictedPartitionIsRefusedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Bool
		b := newBench(t, "vessl", func(_ int64, req *http.Request) (*http.Response, error) {
			if refused.Load() {
				return reply(401, `{"message":"Unauthorized"}`)
			}
			if strings.Contains(req.URL.Path, "done") {
				return reply(200, vesslDone)
			}
			return reply(200, vesslRunning)
		})
		b.poll("a", "done")
		release, _ := b.Watch(b.request("a", "job1"))
		defer release()
		time.Sleep(time.Second)
		held := b.request("a", "job1").Partition
		for n := range uint64(30_000) { // beside it in the table, and accepted like it: in the end it falls out
			id := held.ID
			binary.LittleEndian.PutUint64(id[8:], n)
			b.store.PutPartition(&id, cache.PartitionState{Upstream: held.Upstream, LastSuccess: time.Now()})
			b.Partition(b.up(), &id)
		}
		done := b.request("a", "done") // whoever asks now must get the partition that the watch holds
		refused.Store(true)
		time.Sleep(10 * time.Second)
		if a, ok := b.Cached(b.up(), done.Partition, &done.Key, time.Now()); ok {
			t.Errorf("a refused credential got %s", said(a))
		}
	})
}
