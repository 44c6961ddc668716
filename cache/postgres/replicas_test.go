package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
	"pollux/cache/postgres/pgtest"
)

func TestReplicas(t *testing.T) {
	ways(t, func(t *testing.T, fresh func(t testing.TB) Config) {
		storetest.RunReplicas(t, func(t *testing.T) func() storetest.Replica {
			cfg := fresh(t)
			return func() storetest.Replica {
				s, _ := open(t, cfg)
				return s
			}
		})
	})
}

// TestBothWays: a replica that listens and one that reads the table hear of each
// other.
func TestBothWays(t *testing.T) {
	database := server.Database(t)
	listens, _ := open(t, Config{Address: server.Address(database)})
	reads, _ := open(t, Config{Address: server.Bouncer(t, database), Notify: NotifyTable})
	heard := make(chan cache.Notice, 100)
	for _, s := range []*Store{listens, reads} {
		s.Listen(func(news []cache.Notice, _ bool) {
			for _, n := range news {
				heard <- n
			}
		})
	}
	storetest.Eventually(t, "both know of each other", func() bool {
		return listens.notices.toReaders.Load() && reads.notices.toListeners.Load()
	})
	for n, s := range []*Store{listens, reads} {
		if _, err := s.Put(context.Background(), storetest.Running(n, 1)); err != nil {
			t.Fatal(err)
		}
		select {
		case notice := <-heard:
			if notice.Key != *storetest.Key(n) {
				t.Errorf("heard of %x", notice.Key)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("what replica %d wrote was not heard", n)
		}
	}
}

// TestOutage: while the database stands still, calls end soon, and nobody waits
// for it; then everything goes on, and whoever listens is told that it missed
// something.
func TestOutage(t *testing.T) {
	for name, c := range map[string]struct {
		begin, end func(t *testing.T, own *pgtest.Server)
	}{
		"frozen": {
			func(t *testing.T, own *pgtest.Server) { must(t, own.Signal(syscall.SIGSTOP)) },
			func(t *testing.T, own *pgtest.Server) { must(t, own.Signal(syscall.SIGCONT)) },
		},
		"stopped": {
			func(t *testing.T, own *pgtest.Server) { own.Stop() },
			func(t *testing.T, own *pgtest.Server) { must(t, own.Restart()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			own, err := pgtest.Start()
			must(t, err)
			t.Cleanup(func() { own.Close() }) // after the store is closed
			s, log := open(t, Config{Address: own.Address("postgres")})
			lost := make(chan bool, 100)
			s.Listen(func(_ []cache.Notice, missing bool) { lost <- missing })
			e, err := s.Put(context.Background(), storetest.Frozen(1, 1))
			must(t, err)
			c.begin(t, own)
			storetest.Eventually(t, "the outage is noticed", func() bool { return s.Healthy() != nil && !s.Current() })
			began := time.Now()
			if _, err := s.Begin(context.Background(), &cache.Poll{Key: *storetest.Key(1), Lease: time.Minute}); !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("Begin without a database: %v, want ErrUnavailable", err)
			}
			if _, err := s.Put(context.Background(), storetest.Frozen(2, 1)); !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("Put without a database: %v, want ErrUnavailable", err)
			}
			if took := time.Since(began); took > callTimeout {
				t.Errorf("two calls took %v to find out what is known", took)
			}
			c.end(t, own)
			storetest.Eventually(t, "the database is back", func() bool { return s.Healthy() == nil && s.Current() })
			if got, err := s.Get(context.Background(), storetest.Key(1)); err != nil || got.ETag != e.ETag {
				t.Errorf("Get after the outage: %v, %v", got, err)
			}
			if _, err := s.Put(context.Background(), storetest.Frozen(3, 1)); err != nil {
				t.Errorf("Put after the outage: %v", err)
			}
			storetest.Eventually(t, "the gap is told", func() bool {
				select {
				case missing := <-lost:
					return missing
				default:
					return false
				}
			})
			if text := log.String(); !strings.Contains(text, "going on alone") || !strings.Contains(text, "database answers again") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCutNotices: whose listening connection is killed does not believe its
// memory until it hears again, and is told that something may be missing.
func TestCutNotices(t *testing.T) {
	database := server.Database(t)
	s, _ := open(t, Config{Address: server.Address(database)})
	lost := make(chan bool, 100)
	s.Listen(func(_ []cache.Notice, missing bool) { lost <- missing })
	for range 3 {
		server.Exec(t, database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
		deadline := time.After(30 * time.Second)
		for told := false; !told; {
			select {
			case told = <-lost:
			case <-deadline:
				t.Fatal("a cut is never told")
			}
		}
		storetest.Eventually(t, "notices flow again", s.Current)
	}
}

// TestDeath: the slots of a replica that died are taken over within ten seconds,
// and of one that closed at once.
func TestDeath(t *testing.T) {
	cfg := fresh(t)
	a, _ := open(t, cfg)
	b, err := Open(context.Background(), cfg, testSecret(t, secret), slog.New(slog.DiscardHandler))
	must(t, err)
	storetest.Eventually(t, "slots are shared", func() bool { return len(a.Members().All) == 2 && len(b.Members().All) == 2 })
	b.cancel() // its heart stops
	died := time.Now()
	storetest.Eventually(t, "the slots are taken over", func() bool { return a.Members().Owned() == cache.Slots })
	if took := time.Since(died); took > 10*10*time.Second {
		t.Errorf("taken over after %v", took)
	}
	b.Close()
}

// TestStrandedLeases: a lease that was granted while nobody heard of it, and one
// whose report was lost, are given back once the database answers, so that
// nobody waits for polls that nobody makes.
func TestStrandedLeases(t *testing.T) {
	for name, strand := range map[string]func(t *testing.T, s *Store, link *pgtest.Link, p *cache.Poll){
		"granted, and not heard of": func(t *testing.T, s *Store, link *pgtest.Link, p *cache.Poll) {
			link.Slow(2 * pollTimeout)
			if g, err := s.Begin(t.Context(), p); err == nil {
				t.Fatalf("Begin by a slow way: %+v", g)
			}
			link.Slow(0)
		},
		"granted once the way is whole again": func(t *testing.T, s *Store, link *pgtest.Link, p *cache.Poll) {
			_, err := s.Next(t.Context()) // over a connection that is not tried first the next time
			must(t, err)
			link.Cut(true)
			if g, err := s.Begin(t.Context(), p); err == nil {
				t.Fatalf("Begin by a way that is cut: %+v", g)
			}
			link.Cut(false)
		},
		"reported, and lost": func(t *testing.T, s *Store, link *pgtest.Link, p *cache.Poll) {
			g, err := s.Begin(t.Context(), p)
			must(t, err)
			link.Cut(true)
			storetest.Eventually(t, "the outage is noticed", func() bool { return s.Healthy() != nil })
			s.CommitLater(&cache.Report{Key: p.Key, Generation: g.Generation, Token: g.Token})
			link.Cut(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, err := pgtest.Start("fsync=off")
			must(t, err)
			t.Cleanup(own.Close)
			link := own.Link(t)
			s, _ := open(t, Config{Address: link.Address("postgres")})
			other, _ := open(t, Config{Address: own.Address("postgres")})
			p := &cache.Poll{Key: *storetest.Key(1), Lease: time.Hour}
			strand(t, s, link, p)
			storetest.Eventually(t, "another replica may ask", func() bool {
				g, err := other.Begin(t.Context(), p)
				if err == nil && g.Token != 0 {
					_, err = other.Commit(t.Context(), &cache.Report{Key: p.Key, Generation: g.Generation, Token: g.Token})
					must(t, err)
					return true
				}
				return false
			})
			storetest.Eventually(t, "the replica itself may ask", func() bool {
				g, err := s.Begin(t.Context(), p)
				return err == nil && g.Token != 0
			})
			time.Sleep(2 * ownEvery)
			if g, err := other.Begin(t.Context(), p); err != nil || g.Busy == 0 {
				t.Errorf("a lease that is heard of does not stand: %+v, %v", g, err)
			}
		})
	}
}

// TestGiveBackSpares: leases are given back of which nobody here knows, and no
// other ones.
func TestGiveBackSpares(t *testing.T) {
	s, _ := open(t, fresh(t))
	unanswered := errors.New("no answer")
	unheard := func(t *testing.T, p *cache.Poll) {
		_, err := s.pool.Exec(t.Context(), `INSERT INTO pollux_polls (key, token, generation, until, holder) VALUES ($1, nextval('pollux_version'), 0, 'infinity', $2)`, p.Key[:], s.self.ID)
		must(t, err)
	}
	granted := func(t *testing.T, p *cache.Poll) uint64 {
		g, err := s.Begin(t.Context(), p)
		must(t, err)
		return g.Token
	}
	for n, c := range []struct {
		name string
		do   func(t *testing.T, p *cache.Poll)
		ends bool
	}{
		{"granted, and on its way here", func(t *testing.T, p *cache.Poll) {
			s.stranded.asks(&p.Key) // one that is not answered
			s.stranded.asked(&p.Key, 0, unanswered)
			s.stranded.asks(&p.Key)
			unheard(t, p)
		}, false},
		{"granted, and never heard of", func(t *testing.T, p *cache.Poll) {
			s.stranded.asks(&p.Key)
			unheard(t, p)
			s.stranded.asked(&p.Key, 0, unanswered)
		}, true},
		{"granted before one that is not answered", func(t *testing.T, p *cache.Poll) {
			granted(t, p)
			s.stranded.asks(&p.Key)
			s.stranded.asked(&p.Key, 0, unanswered)
		}, false},
		{"granted while another is not answered", func(t *testing.T, p *cache.Poll) {
			s.stranded.asks(&p.Key)
			granted(t, p)
			s.stranded.asked(&p.Key, 0, unanswered)
		}, false},
		{"granted after the report of another was lost", func(t *testing.T, p *cache.Poll) {
			s.stranded.add(&p.Key, granted(t, p)-1)
		}, false},
		{"its report was lost", func(t *testing.T, p *cache.Poll) {
			s.stranded.add(&p.Key, granted(t, p))
		}, true},
		{"its report is still to be written", func(t *testing.T, p *cache.Poll) {
			r := &cache.Report{Key: p.Key, Token: granted(t, p)}
			tx, err := s.pool.Begin(t.Context())
			must(t, err)
			t.Cleanup(func() { must(t, tx.Rollback(context.Background())) })
			_, err = tx.Exec(t.Context(), `INSERT INTO pollux_polls (key, token, generation, until) VALUES ($1, 0, 0, 'infinity')`, storetest.Key(1000)[:])
			must(t, err)
			s.PutLater(storetest.Running(1000, 1))
			storetest.Eventually(t, "a write waits for a lock", func() (waits bool) {
				must(t, s.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits))
				return waits
			})
			ctx, cancel := context.WithTimeout(t.Context(), ownEvery)
			defer cancel()
			if _, err := s.Commit(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Commit behind a write that waits: %v", err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &cache.Poll{Key: *storetest.Key(n), Lease: time.Hour}
			c.do(t, p)
			s.giveBack()
			var stands bool
			must(t, s.pool.QueryRow(t.Context(), `SELECT until > clock_timestamp() FROM pollux_polls WHERE key = $1`, p.Key[:]).Scan(&stands))
			if stands == c.ends {
				t.Errorf("its lease stands: %v", stands)
			}
		})
	}
}

// TestCloseWrites: what nobody waited for is in the database after Close.
func TestCloseWrites(t *testing.T) {
	cfg := fresh(t)
	for n := range 20 {
		s, err := Open(t.Context(), cfg, testSecret(t, secret), slog.New(slog.DiscardHandler))
		must(t, err)
		s.PutLater(storetest.Running(n, 1))
		must(t, s.Close())
	}
	s, _ := open(t, cfg)
	for n := range 20 {
		if _, err := s.Get(t.Context(), storetest.Key(n)); err != nil {
			t.Errorf("what was queued before Close %d: %v", n, err)
		}
	}
}

// TestLooksShareRoundTrips: looks that come together share round trips to a
// database that is far away, which is not taken for one that does not answer
// because they wait for each other.
func TestLooksShareRoundTrips(t *testing.T) {
	link := server.Link(t)
	s, _ := open(t, Config{Address: link.Address(server.Database(t))})
	const tasks = 400
	for n := range tasks {
		e := storetest.Running(n, 1)
		e.Version = 1
		s.PutLater(e)
	}
	_, err := s.Put(t.Context(), storetest.Running(tasks, 1)) // after the others
	must(t, err)
	link.Slow(20 * time.Millisecond)
	before := s.pool.Stat().AcquireCount()
	var looks sync.WaitGroup
	for n := range tasks {
		looks.Go(func() {
			g, err := s.Begin(t.Context(), &cache.Poll{Key: *storetest.Key(n)})
			if err != nil || g.Token != 0 || g.Entry == nil || g.Entry.Key != *storetest.Key(n) {
				t.Errorf("look at task %d: %+v, %v", n, g, err)
			}
		})
	}
	looks.Wait()
	if n := s.pool.Stat().AcquireCount() - before; n > tasks/4 {
		t.Errorf("%d looks at once took %d round trips", tasks, n)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

// TestRunningTasksDoNotWaitForTheDisk: what need not be durable is heard of by
// others before the disk has it; what somebody waits for is on the disk.
func TestRunningTasksDoNotWaitForTheDisk(t *testing.T) {
	own, err := pgtest.Start() // with fsync
	must(t, err)
	t.Cleanup(own.Close)
	cfg := Config{Address: own.Address("postgres")}
	a, _ := open(t, cfg)
	b, _ := open(t, cfg)
	heard := make(chan cache.Notice, 1000)
	b.Listen(func(news []cache.Notice, _ bool) {
		for _, n := range news {
			heard <- n
		}
	})
	syncs := func() (n int) {
		t.Helper()
		// A backend that has told its statistics within the second keeps the next
		// ones for up to ten.
		for _, c := range a.pool.AcquireAllIdle(t.Context()) {
			_, err := c.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
			must(t, err)
			c.Release()
		}
		must(t, a.pool.QueryRow(t.Context(), `SELECT wal_sync FROM pg_stat_wal`).Scan(&n))
		return n
	}
	const tasks = 100
	puts := func(put func(n int)) int {
		time.Sleep(2 * time.Second) // statistics are told once a second
		before := syncs()
		for n := range tasks {
			put(n)
			<-heard
		}
		time.Sleep(2 * time.Second)
		return syncs() - before
	}
	later := puts(func(n int) { a.PutLater(storetest.Running(n, 1)) })
	durable := puts(func(n int) {
		_, err := a.Put(t.Context(), storetest.Frozen(tasks+n, 1))
		must(t, err)
	})
	// The database syncs by itself too, five times a second, and writes share that.
	if t.Logf("%d and %d syncs", later, durable); later > durable/2 || durable < tasks/2 {
		t.Errorf("%d writes that nobody waited for took %d syncs, and as many durable ones %d", tasks, later, durable)
	}
}

// TestBusyDatabase: a poll that would wait too long for its turn at a database that
// is slow goes on alone, before the time for its upstream is over.
func TestBusyDatabase(t *testing.T) {
	link := server.Link(t)
	s, _ := open(t, Config{Address: link.Address(server.Database(t))})
	var polls sync.WaitGroup
	for range connections { // opening them takes several round trips
		polls.Go(func() { s.pool.Exec(t.Context(), `SELECT pg_sleep(1)`) })
	}
	polls.Wait()
	link.Slow(2 * slow)
	for n := range 60 * connections {
		polls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := s.Begin(ctx, &cache.Poll{Key: *storetest.Key(n), Lease: time.Minute}); err != nil && !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("poll %d: %v", n, err)
			}
		})
	}
	polls.Wait()
}

// TestLooksAtLargeBodies: looks whose answers are large come by a narrow way too,
// which is not taken for a database that does not answer.
func TestLooksAtLargeBodies(t *testing.T) {
	link := server.Link(t)
	s, _ := open(t, Config{Address: link.Address(server.Database(t))})
	for n := range maxLooks {
		e := storetest.Running(n, 1)
		e.Version, e.Native = 1, make([]byte, 128<<10)
		rand.Read(e.Native) // never fails
		_, err := s.Put(t.Context(), e)
		must(t, err)
	}
	link.Narrow(3 << 20)
	batch := make([]*look, maxLooks)
	for n := range batch {
		batch[n] = &look{poll: &cache.Poll{Key: *storetest.Key(n)}, done: make(chan looked, 1)}
	}
	s.lookUp(batch)
	for n, l := range batch {
		if out := <-l.done; out.err != nil || out.grant.Entry == nil {
			t.Fatalf("look at task %d: %+v, %v", n, out.grant, out.err)
		}
	}
}

// TestListAges: a row is as old as what some replica last heard of the task,
// although what is unchanged is not written again.
func TestListAges(t *testing.T) {
	s, _ := open(t, fresh(t))
	e, err := s.Put(t.Context(), storetest.Running(1, 1))
	must(t, err)
	at := time.Now().Add(-time.Minute)
	_, err = s.Commit(t.Context(), &cache.Report{Key: e.Key, ObservedAt: at, FreshUntil: at})
	must(t, err)
	rows, _, err := s.List(t.Context(), &cache.Query{Sight: cache.Sight{All: true}, Limit: 1})
	must(t, err)
	if late := rows[0].ObservedAt.Sub(at); late.Abs() > 10*time.Second {
		t.Errorf("the upstream answered at %v, the list says %v", at, rows[0].ObservedAt)
	}
}

// TestLag: an own notice is measured from when it was sent itself, also after the
// next was; another replica makes nothing of it.
func TestLag(t *testing.T) {
	s, _ := open(t, fresh(t))
	storetest.Eventually(t, "an own notice is measured", func() bool { return s.Stats().Lag > 0 })
	s.cancel() // its heart stops
	s.running.Wait()
	s.hear(fmt.Sprintf("%s %s%d", s.self.ID, sentNotice, time.Since(epoch)-time.Minute))
	if lag := s.Stats().Lag; lag < time.Minute || lag > 2*time.Minute {
		t.Errorf("a notice that took a minute: %v", lag)
	}
	other := fmt.Sprintf("%s%d", sentNotice, time.Since(epoch))
	if n, err := parseNotice(other); err == nil {
		t.Errorf("an own notice of another replica is %+v", n)
	}
}
