package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup bounds the memory of the processes in it, as a container does.
type cgroup struct {
	dir string
	v2  bool
}

// newCgroup makes a cgroup, of whichever version the machine has the memory
// controller in. It needs root.
func newCgroup(name string, limit int64) (*cgroup, error) {
	const root = "/sys/fs/cgroup"
	c := &cgroup{dir: filepath.Join(root, "memory", name)}
	file := "memory.limit_in_bytes"
	if controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil && strings.Contains(string(controllers), "memory") {
		*c = cgroup{dir: filepath.Join(root, name), v2: true}
		file = "memory.max"
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0o644) // it may be on already
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("a cgroup of the memory controller: %w", err)
	}
	return c, os.WriteFile(filepath.Join(c.dir, file), []byte(strconv.FormatInt(limit, 10)), 0o644)
}

// command is a command that runs in the cgroup from its first instruction on.
func (c *cgroup) command(name string, args ...string) *exec.Cmd {
	script := `echo $$ >"$0" && exec "$@"`
	return exec.Command("sh", append([]string{"-c", script, filepath.Join(c.dir, "cgroup.procs"), name}, args...)...)
}

// kills is how many processes the kernel has ended for want of memory.
func (c *cgroup) kills() int64 {
	file := "memory.oom_control"
	if c.v2 {
		file = "memory.events"
	}
	return c.value(file, "oom_kill")
}

// anonymous is how much memory cannot be taken back by writing it to its file.
func (c *cgroup) anonymous() int64 {
	if c.v2 {
		return c.value("memory.stat", "anon")
	}
	return c.value("memory.stat", "total_rss")
}

// value is the number beside key in a file of lines such as "key 5", -1 if
// there is none.
func (c *cgroup) value(file, key string) int64 {
	text, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == key {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

func (c *cgroup) remove() { _ = os.Remove(c.dir) }
