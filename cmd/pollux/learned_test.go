package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/cache/postgres/pgtest"
	"pollux/proxy/poller/adaptive"
	"pollux/proxy/poller/upstream"
)

// TestLearnedSurvivesARestart: what an adaptive upstream learned is sealed
// beside the store, and is there after a restart.
func TestLearnedSurvivesARestart(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"in_progress"}`)
	}))
	defer up.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	path := filepath.Join(dir, "p.db")
	text := fmt.Sprintf("store: {path: %q}\nupstreams:\n  vessl: {provider: vessl, base_url: %q, schedule: adaptive}\n", path, up.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *service {
		l, err := load(config, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newService(context.Background(), l, newLogger(io.Discard, l.Log, nil), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	fresh, err := upstream.MarshalLearned(s.poller.Upstreams())
	if err != nil {
		t.Fatal(err)
	}
	groups := adaptive.NewGroups(adaptive.DefaultConfig(), 10, func() float64 { return 0.5 })
	for range 20 {
		groups.Observe("m", adaptive.Job{}, adaptive.Answer{Age: time.Minute, Done: true, OnTime: true})
	}
	taught, err := groups.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string][]byte{"vessl": taught})
	if err != nil {
		t.Fatal(err)
	}
	if err := upstream.UnmarshalLearned(s.poller.Upstreams(), data); err != nil {
		t.Fatal(err)
	}
	before, err := upstream.MarshalLearned(s.poller.Upstreams())
	if err != nil || bytes.Equal(before, fresh) {
		t.Fatalf("nothing was learned: %d bytes, %v", len(before), err)
	}
	s.learned.save()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(path + ".learned")
	if err != nil || bytes.Contains(sealed, []byte("vessl")) {
		t.Fatalf("file of %d bytes: %v, want it sealed", len(sealed), err)
	}
	s = start()
	after, err := upstream.MarshalLearned(s.poller.Upstreams())
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("learned %d bytes before and %d after, %v", len(before), len(after), err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".learned", []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start().close(); err != nil {
		t.Errorf("a damaged file keeps Pollux from starting: %v", err)
	}
}

// TestReplicasShareLearned: what one replica has learned the other one knows, and who
// starts later; no model can be read in the database.
func TestReplicasShareLearned(t *testing.T) {
	database, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(database.Close)
	env := map[string]string{"POLLUX_STORE_KEY": storeKey, "DATABASE_URL": database.Address("postgres")}
	look := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	file := write(t, "config.yaml", `store: {driver: postgres, address: "${DATABASE_URL}"}
upstreams:
  vessl: {provider: vessl, base_url: "http://127.0.0.1:1", schedule: adaptive}
`)
	start := func() *service {
		l, err := load(file, look)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newService(context.Background(), l, newLogger(io.Discard, l.Log, nil), look)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.close() })
		return s
	}
	groups := func(s *service) *adaptive.Groups { return s.poller.Upstream([]byte("vessl")).Learned.Groups }
	a, b := start(), start()
	for range 20 {
		groups(a).Observe("hunyuan", adaptive.Job{}, adaptive.Answer{Age: time.Minute, Done: true, OnTime: true})
	}
	a.learned.save()
	if groups(b).Learner("").HasLearned() {
		t.Fatal("the other replica knows before it has looked")
	}
	b.learned.save()
	database.Exec(t, "postgres", `DO $$ BEGIN
	ASSERT (SELECT count(*) = 1 AND bool_and(position('hunyuan'::bytea IN value) = 0) FROM pollux_accounts), 'an account is not there, or can be read';
END $$`)
	for name, s := range map[string]*service{"the other replica": b, "who started later": start()} {
		if !groups(s).Learner("").HasLearned() || !groups(s).Learner("hunyuan").HasLearned() {
			t.Errorf("%s has learned nothing", name)
		}
	}
}
