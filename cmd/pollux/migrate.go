package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
)

func migrateCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("migrate", `Copies everything in the store of a config into the empty store of another, and
counts it there. Both have the same store key; one that lies beside an SQLite
store is copied too. What is stored while it runs stays behind: end Pollux
first, then start it with the other config.`,
		"pollux migrate --to replicas.yaml",
		"pollux migrate --config old.yaml --to new.yaml")
	from := configFlag(fs)
	to := fs.String("to", "", "config `file` whose store is filled")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	if *to == "" {
		return t.Misused(fs, "wants --to and the config whose store is filled")
	}
	old, err := config.Source{File: *from, Env: t.Env}.Load(nil)
	if err != nil {
		return t.Fail("migrate", err)
	}
	fresh, err := config.Source{File: *to, Env: t.Env}.Load(nil)
	if err != nil {
		return t.Fail("migrate", err)
	}
	export, err := exportOf(old.Store)
	if err != nil {
		return t.Fail("migrate", err)
	}
	if old.Store == fresh.Store {
		return t.Fail("migrate", errors.New("both configs have the same store"))
	}
	if err := sameKey(old.Store, fresh.Store, t.Env); err != nil {
		return t.Fail("migrate", err)
	}
	tally, err := fill(ctx, t, fresh, export)
	if err != nil {
		return t.Fail("migrate", err)
	}
	fmt.Fprintf(t.Stdout, "%s\n", tally)
	return exitOK
}

// sameKey copies the key that lies beside one SQLite store to the other, which
// has none yet. That keys differ is found out with the first value.
func sameKey(from, to config.Store, env func(string) (string, bool)) error {
	if key, _ := env("POLLUX_STORE_KEY"); key != "" || from.Driver != "sqlite" || to.Driver != "sqlite" {
		return nil
	}
	key, err := os.ReadFile(from.Path + ".key")
	if err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	f, err := os.OpenFile(to.Path+".key", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	_, err = f.Write(key)
	return errors.Join(err, f.Sync(), f.Close())
}
