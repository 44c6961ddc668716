package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pollux/cmd/pollux/console"
)

// shortKey is how many characters a key that somebody thought up should have at
// least: 24 of letters and digits are more than anybody guesses.
const shortKey = 24

// warnOfAccess notes who gets in that should not.
func (l *Loaded) warnOfAccess() {
	var held []string
	for _, name := range slices.Sorted(maps.Keys(l.Upstreams)) {
		if !l.Upstreams[name].Credential.Caller {
			held = append(held, name)
		}
	}
	if len(held) > 0 && len(l.Clients) == 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("Pollux holds the credential of %s and clients: is empty, so whoever reaches %s may use it: "+
			"make keys with pollux key new, and list them under clients:", strings.Join(held, ", "), l.Listen))
	}
	for i, c := range l.Clients {
		if !strings.HasPrefix(string(c.Key), "sha256:") && len(c.Key) < shortKey {
			l.Warnings = append(l.Warnings, fmt.Sprintf("clients[%d].key, of %s, has fewer than %d characters and can be guessed: make one with pollux key new",
				i, c.Name, shortKey))
		}
	}
}

// Warning says why the store could not be written; "" if it could. Nothing
// stays behind.
func (c *Store) Warning() string {
	if c.Driver != "sqlite" {
		return ""
	}
	if file, err := os.OpenFile(c.Path, os.O_RDWR, 0); err == nil {
		file.Close()
	} else if !os.IsNotExist(err) {
		return fmt.Sprintf("store.path: %s cannot be written: %v", c.Path, console.PlainCause(err))
	}
	// SQLite writes files beside it; directories that are missing are made.
	dir := filepath.Dir(c.Path)
	for _, err := os.Stat(dir); os.IsNotExist(err) && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	beside, err := os.CreateTemp(dir, ".pollux-check-")
	if err != nil {
		return fmt.Sprintf("store.path: nothing can be written to the directory %s: %v", dir, console.PlainCause(err))
	}
	beside.Close()
	os.Remove(beside.Name())
	return ""
}
