package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"
)

// TestFleetOfADamagedStore: a flipped bit in what the store has of one task costs
// that task in the fleet's counts and list at most, and no answer.
func TestFleetOfADamagedStore(t *testing.T) {
	const tasks = 5
	upstream := progressing(t)
	path := filepath.Join(t.TempDir(), "pollux.db")
	config := write(t, "config.yaml", fmt.Sprintf("listen: 127.0.0.1:0\nstore: {path: %s}\nupstreams:\n  one: {provider: vessl, base_url: %q}\n", path, upstream.URL))
	p := start(t, "serve", "--config", config)
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	for n := range tasks {
		if code, body, _ := get(t, base+fmt.Sprintf("/v1/tasks/one/job%d", n)); code != http.StatusOK {
			t.Fatalf("task %d: %d %s", n, code, body)
		}
	}
	if code := p.end(t); code != exitOK {
		t.Fatalf("serve ended with %d:\n%s", code, p.stderr)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	result, err := db.Exec(`PRAGMA ignore_check_constraints = ON; UPDATE tasks SET status = CAST(x'ff62' || status AS TEXT) WHERE seq = 2`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d rows damaged, %v", n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p = start(t, "serve", "--config", config)
	base = "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	code, body, _ := get(t, base+"/v1/fleet")
	var fleet struct {
		Tasks struct {
			ByStatus map[string]int `json:"by_status"`
		} `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(body), &fleet); err != nil || code != http.StatusOK {
		t.Fatalf("GET /v1/fleet: %d %s, %v", code, body, err)
	}
	if n := fleet.Tasks.ByStatus["in_progress"]; n < tasks-1 || n > tasks {
		t.Errorf("%d of %d tasks are counted: %s", n, tasks, body)
	}
	if code, body, _ := get(t, base+"/v1/tasks"); code != http.StatusOK {
		t.Errorf("GET /v1/tasks: %d %s", code, body)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}
