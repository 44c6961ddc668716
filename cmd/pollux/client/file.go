package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pollux/cmd/pollux/console"
	"pollux/providers/strictyaml"
)

// clientFile is what a user keeps in client.yaml: where Pollux is, and who
// asks. ${NAME} stands for an environment variable.
type clientFile struct {
	Server string `yaml:"server"`
	Key    string `yaml:"key"` // of Pollux
	// Credentials is, by upstream, the headers that it wants. They are sent
	// with tasks of that upstream and with nothing else.
	Credentials map[string]map[string]string `yaml:"credentials"`

	path string // "" if there is none
}

// readClientFile reads the user's file. There need not be one.
func readClientFile(t *console.Terminal) (*clientFile, error) {
	path := clientFilePath(t)
	if path == "" {
		return &clientFile{}, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &clientFile{}, nil
	}
	if err != nil {
		return nil, wrongUsage("%s cannot be read: %v", path, console.PlainCause(err))
	}
	file := &clientFile{path: path}
	root, faults := strictyaml.Parse(path, data, t.Env)
	if root != nil {
		faults = append(faults, root.Decode(file)...)
	}
	if len(faults) > 0 {
		faults.Sort()
		return nil, usageError{faults}
	}
	if root.Get("key") != nil || root.Get("credentials") != nil {
		warnIfShared(t, path)
	}
	return file, nil
}

// clientFilePath follows the XDG base directories; "" if the user has no home.
func clientFilePath(t *console.Terminal) string {
	if dir, _ := t.Env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) { // a relative one is to be ignored
		return filepath.Join(dir, "pollux", "client.yaml")
	}
	if home, _ := t.Env("HOME"); home != "" {
		return filepath.Join(home, ".config", "pollux", "client.yaml")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".config", "pollux", "client.yaml")
	}
	return ""
}

// warnIfShared says when others may read a file that holds secrets.
func warnIfShared(t *console.Terminal, path string) {
	if mode, shared := console.Shared(path); shared {
		fmt.Fprintf(t.Stderr, "pollux: warning: others may read %s (mode %04o), chmod 600 it\n", path, mode)
	}
}
