package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
	"pollux/providers"
)

// recordedAt is when recorded answers arrive, so that a document is the same
// on every day.
var recordedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const goldenSuffix = ".golden.json"

func testCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("test", `Compares what becomes of recorded answers with what must become of them. Each
is a file <provider>/<situation>.json with http_status, headers and body, at any
depth below the directory (without one: the config's provider_dir); the document
stands beside it in <situation>.golden.json. Exits 1 if one differs.`,
		"pollux test  # the answers in provider_dir",
		"pollux test recordings",
		"pollux test --update recordings  # writes the documents: read what it wrote")
	file := configFlag(fs)
	own := fs.String("provider-dir", "", "`directory` of your own provider files, instead of the config's")
	update := fs.Bool("update", false, "write the documents instead of comparing")
	rest, code, done := t.Parse(fs, args, console.AnyCount)
	if done {
		return code
	}
	if len(rest) > 1 {
		return t.Misused(fs, "tests one directory, and was given %d", len(rest))
	}
	set, dir, err := config.Providers(*file, *own, t.Env)
	if err != nil {
		return t.Fail("test", err)
	}
	if len(rest) == 1 {
		dir = rest[0]
	}
	if dir == "" {
		return t.Misused(fs, "wants the directory with the recorded answers, or a config with provider_dir")
	}
	run := recordingRun{t: t, set: set, dir: dir, update: *update}
	if err := run.all(); err != nil {
		return t.Fail("test", err)
	}
	return run.report()
}

// recordingRun is one run over a directory of recorded answers.
type recordingRun struct {
	t      *console.Terminal
	set    *providers.Set
	dir    string
	update bool

	right, wrong, written int
}

func (r *recordingRun) all() error {
	return filepath.WalkDir(r.dir, func(file string, entry fs.DirEntry, err error) error {
		switch name := entry; {
		case err != nil:
			return fmt.Errorf("%s: %w", file, console.PlainCause(err))
		case name.IsDir() && file != r.dir && strings.HasPrefix(name.Name(), "."):
			return filepath.SkipDir
		case name.IsDir() || filepath.Ext(file) != ".json" || strings.HasSuffix(file, goldenSuffix):
			return nil
		}
		return r.one(file)
	})
}

// one compares one recorded answer. The error is one that ends the run.
func (r *recordingRun) one(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name := filepath.Base(filepath.Dir(file))
	p, err := r.provider(filepath.Dir(file), name)
	if err != nil {
		return err
	}
	recording, err := providers.ParseRecording(data)
	switch {
	case p == nil && (err != nil || recording.Body == nil):
		return nil // some other JSON
	case p == nil:
		r.fail(file, fmt.Sprintf("there is no provider %q; the directory of a recorded answer is called as its provider", name))
		return nil
	case err != nil:
		r.fail(file, err.Error())
		return nil
	}
	if recording.Situation == "" {
		recording.Situation = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	golden, word, err := recording.Outcome(p, nil, recordedAt)
	if err != nil {
		r.fail(file, err.Error())
		return nil
	}
	return r.compare(file, recording.Expect, golden, word)
}

// provider is the provider of that name: a known one, or that of a file
// <name>.yaml beside the directory with its answers or one above it. It is nil
// if there is none.
func (r *recordingRun) provider(answers, name string) (*providers.Provider, error) {
	if p := r.set.Get(name); p != nil {
		return p, nil
	}
	for _, dir := range []string{filepath.Dir(answers), filepath.Dir(filepath.Dir(answers))} {
		if _, err := os.Stat(filepath.Join(dir, name+".yaml")); err != nil {
			continue
		}
		more, err := providers.LoadFile(os.DirFS(dir), name+".yaml")
		if err != nil {
			return nil, config.FaultsOf(err, dir)
		}
		if r.set, err = r.set.Merge(more); err != nil {
			return nil, config.FaultsOf(err, dir)
		}
		return r.set.Get(name), nil
	}
	return nil, nil
}

// compare compares an outcome with the golden file, or, where there is none
// yet, with the word that the recording expects.
func (r *recordingRun) compare(file, expect string, golden any, word string) error {
	var text bytes.Buffer
	if err := writeJSON(&text, golden); err != nil {
		return err
	}
	got := text.Bytes()
	goldenFile := strings.TrimSuffix(file, ".json") + goldenSuffix
	want, err := os.ReadFile(goldenFile)
	missing := errors.Is(err, fs.ErrNotExist)
	known := slices.Contains(providers.Outcomes(), expect)
	switch {
	case err != nil && !missing:
		return err
	case known && expect != word:
		r.fail(file, fmt.Sprintf("it is expected to be %s, and is %s\n%s", expect, word, difference(goldenFile, nil, file, got)))
	case r.update && !bytes.Equal(want, got):
		r.written++
		return os.WriteFile(goldenFile, got, 0o644)
	case missing && !known:
		r.fail(file, "there is no document to compare with yet; --update writes this one\n"+difference(goldenFile, nil, file, got))
	case !missing && !bytes.Equal(want, got):
		r.fail(file, "what becomes of it is not what "+filepath.Base(goldenFile)+" has\n"+difference(goldenFile, want, file, got))
	default:
		r.right++
	}
	return nil
}

func (r *recordingRun) fail(file, what string) {
	r.wrong++
	fmt.Fprintf(r.t.Stdout, "%s: %s\n", file, strings.TrimRight(what, "\n"))
}

func (r *recordingRun) report() int {
	all := r.right + r.wrong + r.written
	switch {
	case all == 0:
		fmt.Fprintf(r.t.Stderr, "pollux test: there is no recorded answer below %s; want files such as acme/done.json\n", r.dir)
		return exitFailure
	case r.written > 0:
		fmt.Fprintf(r.t.Stdout, "%s, %s written: read what they say\n", console.Plural(all, "recorded answer"), console.Plural(r.written, "document"))
	default:
		fmt.Fprintf(r.t.Stdout, "%s, %d as they must be\n", console.Plural(all, "recorded answer"), r.right)
	}
	if r.wrong > 0 {
		return exitFailure
	}
	return exitOK
}

// difference is what becomes of the recorded answer in file where it is not what
// golden has, as a unified diff.
func difference(golden string, want []byte, file string, got []byte) string {
	return string(diff.Diff(filepath.Base(golden), want, filepath.Base(file), got))
}
