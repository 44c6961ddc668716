package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pollux/cache/postgres/pgtest"
)

const storeKey = "0123456789abcdef0123456789abcdef"

// TestReplicas runs two processes on one database: what one was told at the end
// of a task the other knows, also when the upstream and the first are gone.
func TestReplicas(t *testing.T) {
	database, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	t.Setenv("POLLUX_STORE_KEY", storeKey)
	t.Setenv("DATABASE_URL", database.Address("postgres"))
	server, front := simulated(t)
	id, err := server.Create("vessl", nil, "team-1", "")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {driver: postgres, address: "${DATABASE_URL}"}
upstreams: {one: {provider: vessl, base_url: %s/vessl}}
`, front.URL))
	serve := func() (p *running, base string) {
		p = start(t, "serve", "--config", file)
		return p, "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	}
	a, atA := serve()
	b, atB := serve()
	a.stderr.await(t, `msg=replicas living=2`)
	eventually(t, func() string { // what each says of itself all say
		for _, base := range []string{atA, atB} {
			answer, err := http.Get(base + "/v1/fleet?window=1h")
			if err != nil {
				return err.Error()
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if n := len(regexp.MustCompile(`"notice_lag_seconds":\d`).FindAll(body, -1)); n != 2 {
				return fmt.Sprintf("the lags of notices of %d replicas are told: %s %v", n, body, err)
			}
		}
		return ""
	})
	if code, body, _ := get(t, atA+"/v1/tasks/one/"+id); code != http.StatusOK || !strings.Contains(body, `"terminal":true`) {
		t.Fatalf("first poll: %d %s", code, body)
	}
	if code := a.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, a.stderr)
	}
	front.Close()
	code, body, header := get(t, atB+"/v1/tasks/one/"+id)
	if code != http.StatusOK || !strings.Contains(header.Get("Cache-Status"), "detail=terminal") {
		t.Errorf("at the other replica, without the upstream: %d %s\n%s", code, header, body)
	}
	if code, body, _ := get(t, atB+"/v1/tasks?q="+id); code != http.StatusOK || !strings.Contains(body, id) {
		t.Errorf("list at the other replica: %d %s", code, body)
	}
	b.stderr.await(t, `msg=replicas living=1`)
	if _, body, _ := get(t, atB+"/metrics"); !strings.Contains(body, "\npollux_replicas 1\n") || !strings.Contains(body, "\npollux_slots_owned 1024\n") {
		t.Error("the metrics do not say that one replica is left")
	}

	database.Stop()
	b.stderr.await(t, `going on alone`)
	if code, _, _ := get(t, atB+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz without the database: %d", code)
	}
	if code, body, _ := get(t, atB+"/v1/fleet?window=1h"); code != http.StatusOK || !strings.Contains(body, `"store_answers":false`) {
		t.Errorf("/v1/fleet without the database: %d %s", code, body)
	}
	if code, body, _ := get(t, atB+"/v1/tasks/one/"+id); code != http.StatusOK {
		t.Errorf("from memory, without the database: %d %s", code, body)
	}
	if err := database.Restart(); err != nil {
		t.Fatal(err)
	}
	b.stderr.await(t, `database answers again`)
	if code := b.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, b.stderr)
	}
	for _, log := range []*transcript{a.stderr, b.stderr} {
		if text := log.String(); strings.Contains(text, storeKey) || strings.Contains(text, "team-1") {
			t.Errorf("the log shows a secret:\n%s", text)
		}
	}
}

func TestReplicasWithoutKeyOrDatabase(t *testing.T) {
	file := write(t, "config.yaml", `listen: 127.0.0.1:0
store: {driver: postgres, address: "postgres://pollux:hunter2@127.0.0.1:1/x"}
`)
	t.Setenv("POLLUX_STORE_KEY", "")
	if got := runWith(t, "", "serve", "--config", file); got.code != exitFailure || !strings.Contains(got.stderr, "needs ${POLLUX_STORE_KEY}") {
		t.Errorf("without a key: %d %s", got.code, got.stderr)
	}
	t.Setenv("POLLUX_STORE_KEY", storeKey)
	if got := runWith(t, "", "serve", "--config", file); got.code != exitFailure || !strings.Contains(got.stderr, "cannot be reached") || strings.Contains(got.stderr, "hunter2") {
		t.Errorf("without a database: %d %s", got.code, got.stderr)
	}
}

// TestBackupRestoreMigrate carries a store from SQLite into a file, into another
// SQLite store, into PostgreSQL, and back.
func TestBackupRestoreMigrate(t *testing.T) {
	database, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	t.Setenv("POLLUX_STORE_KEY", "")
	server, front := simulated(t)
	var ids []string
	for range 8 {
		id, err := server.Create("vessl", nil, "team-1", "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	dir := t.TempDir()
	config := func(name, store string) string {
		return writeIn(t, dir, name, fmt.Sprintf("listen: 127.0.0.1:0\nstore: %s\nupstreams: {one: {provider: vessl, base_url: %s/vessl}}\n", store, front.URL))
	}
	first := config("first.yaml", "{path: "+filepath.Join(dir, "first.db")+"}")
	second := config("second.yaml", "{path: "+filepath.Join(dir, "second.db")+"}")
	third := config("third.yaml", "{driver: postgres, address: "+database.Address("postgres")+"}")
	fourth := config("fourth.yaml", "{path: "+filepath.Join(dir, "fourth.db")+"}")
	backup := filepath.Join(dir, "pollux.backup")

	p := start(t, "serve", "--config", first)
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	for _, id := range ids {
		if code, body, _ := get(t, base+"/v1/tasks/one/"+id); code != http.StatusOK {
			t.Fatalf("poll: %d %s", code, body)
		}
	}
	// While it runs.
	if got := runWith(t, "", "backup", "--config", first, backup); got.code != exitOK || !strings.Contains(got.stdout, "8 tasks") {
		t.Fatalf("backup: %+v", got)
	}
	if code := p.end(t); code != exitOK {
		t.Fatalf("serve ended with %d:\n%s", code, p.stderr)
	}
	front.Close()

	holds := func(config string) {
		t.Helper()
		p := start(t, "serve", "--config", config)
		base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
		for _, id := range ids {
			if code, body, header := get(t, base+"/v1/tasks/one/"+id); code != http.StatusOK || !strings.Contains(header.Get("Cache-Status"), "detail=terminal") {
				t.Errorf("%s: %d %s %s", config, code, header, body)
			}
		}
		if code := p.end(t); code != exitOK {
			t.Fatalf("serve ended with %d:\n%s", code, p.stderr)
		}
	}
	if got := runWith(t, "", "restore", "--config", second, backup); got.code != exitFailure || !strings.Contains(got.stderr, "store key") {
		t.Errorf("restore under another key: %+v", got)
	}
	for _, suffix := range []string{"", ".key", ".lock"} {
		os.Remove(filepath.Join(dir, "second.db"+suffix))
	}
	if got := runWith(t, "", "migrate", "--config", first, "--to", second); got.code != exitOK || !strings.Contains(got.stdout, "8 tasks") {
		t.Fatalf("migrate to another file: %+v", got)
	}
	holds(second)
	if got := runWith(t, "", "restore", "--config", second, backup); got.code != exitFailure || !strings.Contains(got.stderr, "not empty: it has 8 tasks") {
		t.Errorf("restore into a store that is not empty: %+v", got)
	}
	key, err := os.ReadFile(filepath.Join(dir, "first.db.key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("POLLUX_STORE_KEY", strings.TrimSpace(string(key)))
	if got := runWith(t, "", "restore", "--config", third, backup); got.code != exitOK || !strings.Contains(got.stdout, "8 tasks") {
		t.Fatalf("restore into PostgreSQL: %+v", got)
	}
	holds(third)
	if got := runWith(t, "", "migrate", "--config", third, "--to", fourth); got.code != exitOK || !strings.Contains(got.stdout, "8 tasks") {
		t.Fatalf("migrate from PostgreSQL: %+v", got)
	}
	holds(fourth)
	data, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "cut.backup", string(data[:len(data)/2]))
	if got := runWith(t, "", "restore", "--config", first, filepath.Join(dir, "cut.backup")); got.code != exitFailure || !strings.Contains(got.stderr, "not a whole backup") {
		t.Errorf("restore of half a backup: %+v", got)
	}
	if got := runWith(t, "", "migrate", "--config", third, "--to", third); got.code != exitFailure || !strings.Contains(got.stderr, "same store") {
		t.Errorf("migrate to itself: %+v", got)
	}
}
