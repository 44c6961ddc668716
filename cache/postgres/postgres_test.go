package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
	"pollux/cache/internal/storetest"
	"pollux/cache/postgres/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = pgtest.Start("fsync=off", "max_connections=200"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	pgtest.Cleanup()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func testSecret(t testing.TB, raw string) *cache.Secret {
	t.Helper()
	s, err := cache.NewSecret([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const secret = "a secret of enough bytes"

func open(t testing.TB, cfg Config) (*Store, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	s, err := Open(context.Background(), cfg, testSecret(t, secret), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, log
}

// fresh is an empty database.
func fresh(t testing.TB) Config { return Config{Address: server.Address(server.Database(t))} }

// ways are the two ways of notices, each to an empty database.
func ways(t *testing.T, check func(t *testing.T, fresh func(t testing.TB) Config)) {
	t.Run("listen", func(t *testing.T) { check(t, fresh) })
	t.Run("pooler", func(t *testing.T) {
		check(t, func(t testing.TB) Config {
			return Config{Address: server.Bouncer(t, server.Database(t)), Notify: NotifyTable}
		})
	})
}

func TestStore(t *testing.T) {
	ways(t, func(t *testing.T, fresh func(t testing.TB) Config) {
		storetest.Run(t, func(t *testing.T) cache.Store {
			s, _ := open(t, fresh(t))
			return s
		})
	})
}

func TestCluster(t *testing.T) {
	ways(t, func(t *testing.T, fresh func(t testing.TB) Config) {
		storetest.RunCluster(t, func(t *testing.T) cache.Cluster {
			s, _ := open(t, fresh(t))
			return s
		})
	})
}

func TestIndex(t *testing.T) {
	storetest.RunIndex(t, func(t *testing.T) storetest.Indexed {
		s, _ := open(t, fresh(t))
		return storetest.Indexed{
			Index: s,
			Put: func(e *cache.Entry) {
				if _, err := s.Put(context.Background(), e); err != nil {
					t.Errorf("Put: %v", err)
				}
			},
			Delete: func(key *cache.ID) {
				if _, err := s.Delete(context.Background(), key, 0); err != nil {
					t.Errorf("Delete: %v", err)
				}
			},
		}
	})
}

// TestAuto: behind a transaction pooler notices are read from the table, and the
// log says so; elsewhere they are heard.
func TestAuto(t *testing.T) {
	database := server.Database(t)
	direct, log := open(t, Config{Address: server.Address(database)})
	if !direct.Stats().Listening || strings.Contains(log.String(), "from a table") {
		t.Errorf("direct: %+v, log %s", direct.Stats(), log)
	}
	pooled, log := open(t, Config{Address: server.Bouncer(t, database)})
	if pooled.Stats().Listening || !strings.Contains(log.String(), "reading them from a table") {
		t.Errorf("behind a pooler: %+v, log %s", pooled.Stats(), log)
	}
	if _, err := Open(context.Background(), Config{Address: server.Bouncer(t, database), Notify: NotifyListen}, testSecret(t, secret), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "transaction pooler") {
		t.Errorf("notify: listen behind a pooler: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	used := server.Database(t)
	open(t, Config{Address: server.Address(used)})
	foreign := server.Database(t)
	server.Exec(t, foreign, "CREATE TABLE diary (page text)")
	newer := server.Database(t)
	open(t, Config{Address: server.Address(newer)})
	server.Exec(t, newer, "UPDATE pollux_meta SET schema = 99")
	for name, c := range map[string]struct {
		cfg    Config
		secret string
		want   string
	}{
		"nothing listens":     {Config{Address: "postgres://pollux:hunter2@127.0.0.1:1/x"}, secret, "cannot be reached"},
		"no such database":    {Config{Address: server.Address("nowhere")}, secret, `database "nowhere" does not exist`},
		"another application": {Config{Address: server.Address(foreign)}, secret, "tables of another application (diary)"},
		"a newer schema":      {Config{Address: server.Address(newer)}, secret, "run the newer version"},
		"another key":         {Config{Address: server.Address(used)}, "some other secret than before", "POLLUX_STORE_KEY"},
		"no address":          {Config{Address: "postgres://pollux:hunter2@:x/"}, secret, "store.address"},
		"a word for notify":   {Config{Address: server.Address(used), Notify: "shout"}, secret, "none of auto, listen, table"},
	} {
		s, err := Open(context.Background(), c.cfg, testSecret(t, c.secret), slog.New(slog.DiscardHandler))
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestUpgrade: tables of the version before get what they lack, and keep what they
// hold; it can go on with them.
func TestUpgrade(t *testing.T) {
	database := server.Database(t)
	cfg := Config{Address: server.Address(database)}
	s, err := Open(t.Context(), cfg, testSecret(t, secret), slog.New(slog.DiscardHandler))
	must(t, err)
	e, err := s.Put(t.Context(), storetest.Frozen(1, 1))
	must(t, err)
	must(t, s.Close())
	server.Exec(t, database, "DROP TABLE pollux_accounts")
	server.Exec(t, database, "ALTER TABLE pollux_replicas DROP COLUMN lag")
	server.Exec(t, database, fmt.Sprintf("UPDATE pollux_meta SET schema = %d", schemaVersion-1))
	// A replica of the version before is in the middle of a write.
	server.Exec(t, database, fmt.Sprintf("ALTER DATABASE %q SET lock_timeout = '20s'", database))
	busy, err := pgx.Connect(t.Context(), cfg.Address)
	must(t, err)
	defer busy.Close(context.Background())
	_, err = busy.Exec(t.Context(), "BEGIN; LOCK pollux_tasks, pollux_bodies, pollux_polls, pollux_deliveries, pollux_notices IN ROW EXCLUSIVE MODE")
	must(t, err)
	upgraded, log := open(t, cfg)
	if !strings.Contains(log.String(), fmt.Sprintf("schema=%d before=%d", schemaVersion, schemaVersion-1)) {
		t.Errorf("log: %s", log)
	}
	if got, err := upgraded.Get(t.Context(), storetest.Key(1)); err != nil || got.ETag != e.ETag {
		t.Errorf("after the upgrade: %v, %v", got, err)
	}
	must(t, upgraded.Account(t.Context(), "n", func([]byte) ([]byte, error) { return []byte("x"), nil }))
	server.Exec(t, database, fmt.Sprintf("UPDATE pollux_meta SET schema = %d", schemaVersion+1))
	open(t, cfg)
}
