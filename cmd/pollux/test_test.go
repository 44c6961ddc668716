package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recordedDone = `{"situation": "done", "expect": "completed", "http_status": 200, "headers": {"Content-Type": "application/json"}, "body": {"id": "j", "state": "DONE", "result": "r"}}`

// TestRecordings follows what an author does: record, update, read, break, see.
func TestRecordings(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("own/acme", 0o700); err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "own/acme.yaml", acmeProvider)
	writeIn(t, dir, "own/acme/done.json", recordedDone)
	writeIn(t, dir, "own/acme/running.json", `{"body": {"id": "j", "state": "RUNNING"}}`)
	writeIn(t, dir, "own/acme/gone.json", `{"expect": "task-not-found", "http_status": 404, "body": {}}`)
	writeIn(t, dir, "config.yaml", "provider_dir: own\n")

	step := func(name string, code int, out string, args ...string) {
		t.Helper()
		got := runWith(t, "", append([]string{"test"}, args...)...)
		if got.code != code || !strings.Contains(got.stdout+got.stderr, out) {
			t.Fatalf("%s: test %q: code %d, want %d and %q\n%s%s", name, args, got.code, code, out, got.stdout, got.stderr)
		}
	}
	step("no document yet", exitFailure, "running.json: there is no document to compare with yet")
	step("what is expected is enough", exitFailure, "3 recorded answers, 2 as they must be")
	step("update", exitOK, "3 documents written", "--update")
	step("updated", exitOK, "3 recorded answers, 3 as they must be")
	step("a directory", exitOK, "3 as they must be", "own")
	golden, err := os.ReadFile(filepath.Join(dir, "own/acme/done.golden.json"))
	if err != nil || !strings.Contains(string(golden), `"text": "r"`) || !strings.Contains(string(golden), `"updated_at": "2026-11-24T12:00:00Z"`) {
		t.Fatalf("the document of done.json: %s, %v", golden, err)
	}

	writeIn(t, dir, "own/acme.yaml", strings.Replace(acmeProvider, "output.text: result", "model: result", 1))
	step("a member that moved", exitFailure, "--- done.golden.json\n+++ done.json\n")
	step("a member that moved", exitFailure, "-      \"text\": \"r\",\n+      \"text\": null,")
	writeIn(t, dir, "own/acme.yaml", strings.Replace(acmeProvider, "DONE: completed", "DONE: failed", 1))
	step("another status", exitFailure, "done.json: it is expected to be completed, and is failed")
	step("which no update makes right", exitFailure, "is expected to be completed", "--update")
	writeIn(t, dir, "own/acme.yaml", "name: acme\n")
	step("a file with faults", exitFailure, "own/acme.yaml:")
}

func TestRecordingsWithoutConfig(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, sub := range []string{"p/testdata/acme", "empty", "wrong/acne"} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeIn(t, dir, "p/acme.yaml", acmeProvider)
	writeIn(t, dir, "p/testdata/acme/done.json", recordedDone)
	writeIn(t, dir, "p/testdata/acme/broken.json", `{"body": `)
	writeIn(t, dir, "p/package.json", `{"name": "something else"}`)
	writeIn(t, dir, "wrong/acne/done.json", recordedDone)
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
	}{
		{"file above the answers", []string{"p"}, exitFailure, "2 recorded answers, 1 as they must be"},
		{"what is no JSON", []string{"p"}, exitFailure, "broken.json: want a JSON object"},
		{"nothing recorded", []string{"empty"}, exitFailure, "no recorded answer below empty"},
		{"no such provider", []string{"wrong"}, exitFailure, `there is no provider "acne"`},
		{"no such directory", []string{"nowhere"}, exitFailure, "nowhere: no such file or directory"},
		{"no directory", nil, exitUsage, "wants the directory"},
		{"two directories", []string{"p", "empty"}, exitUsage, "one directory"},
	} {
		if got := runWith(t, "", append([]string{"test"}, c.args...)...); got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.out) {
			t.Errorf("%s: test %q: code %d, want %d and %q\n%s%s", c.name, c.args, got.code, c.code, c.out, got.stdout, got.stderr)
		}
	}
}
