package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pollux/cache"
	"pollux/cache/postgres"
	"pollux/cache/sqlite"
	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
)

func backupCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("backup", `Writes everything in the store of a config to a file, all of one moment, also
while Pollux runs, and reads it again. Values stay sealed: keep the store key
elsewhere, a backup is worth nothing without it.`,
		"pollux backup pollux.backup",
		"pollux backup --config /etc/pollux/config.yaml /backups/pollux.backup")
	file := configFlag(fs)
	rest, code, done := t.Parse(fs, args, 1)
	if done {
		return code
	}
	l, err := config.Source{File: *file, Env: t.Env}.Load(nil)
	if err != nil {
		return t.Fail("backup", err)
	}
	export, err := exportOf(l.Store)
	if err != nil {
		return t.Fail("backup", err)
	}
	tally, err := backUp(ctx, rest[0], export)
	if err != nil {
		return t.Fail("backup", err)
	}
	fmt.Fprintf(t.Stdout, "%s: %s\n", rest[0], tally)
	return exitOK
}

// exportOf is how the store of a config is read without opening it, which its
// own process may have done.
func exportOf(c config.Store) (cache.Export, error) {
	switch c.Driver {
	case "sqlite":
		return sqlite.Export(c.Path), nil
	case "postgres":
		return postgres.Export(string(c.Address)), nil
	}
	return nil, fmt.Errorf("store.driver: %s keeps nothing", c.Driver)
}

// backUp writes a backup, whole or not at all, and reads it again.
func backUp(ctx context.Context, path string, export cache.Export) (tally cache.Tally, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return tally, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if tally, err = cache.WriteBackup(ctx, f, export); err != nil {
		return tally, err
	}
	if err := f.Sync(); err != nil {
		return tally, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return tally, err
	}
	read, err := cache.ReadBackup(ctx, f, func(*cache.Record) error { return nil })
	if err != nil || read != tally {
		return tally, errors.Join(err, errors.New("what was written is not what is read again"))
	}
	return tally, os.Rename(f.Name(), path)
}

func restoreCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("restore", `Fills the store of a config, which must be empty, from a backup. The store key
must be the one that the backup was made under. Pollux must not run on an
SQLite store meanwhile.`,
		"pollux restore pollux.backup",
		"POLLUX_STORE_KEY=... pollux restore --config replicas.yaml pollux.backup")
	file := configFlag(fs)
	rest, code, done := t.Parse(fs, args, 1)
	if done {
		return code
	}
	l, err := config.Source{File: *file, Env: t.Env}.Load(nil)
	if err != nil {
		return t.Fail("restore", err)
	}
	backup := func(ctx context.Context, each func(*cache.Record) error) error {
		f, err := os.Open(rest[0])
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = cache.ReadBackup(ctx, f, each)
		return err
	}
	if err := backup(ctx, func(*cache.Record) error { return nil }); err != nil { // before anything is written
		return t.Fail("restore", err)
	}
	tally, err := fill(ctx, t, l, backup)
	if err != nil {
		return t.Fail("restore", err)
	}
	fmt.Fprintf(t.Stdout, "%s: %s\n", rest[0], tally)
	return exitOK
}

// fill writes records to the empty store of l, and counts what is there then.
func fill(ctx context.Context, t *console.Terminal, l *config.Loaded, records cache.Export) (tally cache.Tally, err error) {
	if l.Store.Driver == "none" {
		return tally, errors.New("store.driver: none keeps nothing")
	}
	secret, err := storeSecret(l.Store, t.Env)
	if err != nil {
		return tally, err
	}
	store, err := openStore(ctx, l.Store, secret, nil, newLogger(t.Stderr, l.Log, l.Secrets()))
	if err != nil {
		return tally, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	index, outbox := store.(cache.Index), store.(cache.Outbox)
	if n := tasksIn(index); n > 0 {
		return tally, fmt.Errorf("the store is not empty: it has %s", console.Plural(n, "task"))
	}
	if tally, err = cache.Import(ctx, store, outbox, secret, records); err != nil {
		return tally, err
	}
	webhooks, deliveries, err := outbox.Webhooks(ctx)
	if err != nil {
		return tally, err
	}
	if n := tasksIn(index); n != tally[cache.TaskRecord] || len(webhooks) != tally[cache.WebhookRecord] || len(deliveries) != tally[cache.DeliveryRecord] {
		return tally, fmt.Errorf("%s were written, and %d tasks, %d webhooks, %d deliveries are there", tally, n, len(webhooks), len(deliveries))
	}
	return tally, nil
}

func tasksIn(index cache.Index) (n int) {
	for _, byStatus := range index.Counts(&cache.Sight{All: true}) {
		for _, tasks := range byStatus {
			n += tasks
		}
	}
	return n
}
