// Command peers measures Pollux beside what else one could put between clients
// and a vendor's API: nginx, Varnish, and the bare minimum in Go. Servers run as
// processes of their own on the same machine, in turns; what counts is the
// processor time that each of them takes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bench is one run of all scenarios.
type bench struct {
	root   string        // of everything that servers write
	rounds int           // turns that each server gets
	round  time.Duration // how long a turn is
	short  bool
	tables []table
}

func (b *bench) dir() string {
	dir, err := os.MkdirTemp(b.root, "")
	if err != nil {
		panic("no directory for a server: " + err.Error())
	}
	_ = os.Chmod(dir, 0o755)
	return dir
}

func (b *bench) report(t table) {
	fmt.Printf("%s\n%s\n", t.title, t.markdown())
	b.tables = append(b.tables, t)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 2 {
		switch args[0] {
		case "serve-bare":
			documents, err := strconv.Atoi(args[2])
			if err != nil {
				return err
			}
			return serveBare(args[1], documents)
		case "serve-broadcast":
			return serveBroadcast(args[1], args[2])
		case "serve-reverse-proxy":
			return serveReverseProxy(args[1], args[2])
		}
	}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	only := flags.String("only", "", "scenarios to run, separated by commas; all when empty")
	short := flags.Bool("short", false, "minutes instead of half an hour")
	binary := flags.String("pollux", "", "a pollux to measure; built from here when empty")
	out := flags.String("out", "", "directory for PEERS.md and its plots; printed only when empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	_ = os.Chmod(root, 0o755)
	if *out != "" {
		if err := os.MkdirAll(filepath.Join(*out, "plots"), 0o755); err != nil {
			return err
		}
	}
	if polluxBinary, err = filepath.Abs(*binary); err != nil {
		return err
	}
	if *binary == "" {
		polluxBinary = filepath.Join(root, "pollux")
		if out, err := exec.Command("go", "build", "-o", polluxBinary, "pollux/cmd/pollux").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	b := &bench{root: root, rounds: 10, round: 3 * time.Second, short: *short}
	if *short {
		b.rounds, b.round = 4, 2*time.Second
	}
	for _, s := range scenarios {
		if *only != "" && !strings.Contains(","+*only+",", ","+s.name+",") {
			continue
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if *out == "" {
		return nil
	}
	command := "make bench-peers"
	if *short {
		command += " PEERS=-short"
	}
	return b.write(*out, command)
}

var scenarios = []struct {
	name string
	run  func(*bench) error
}{
	{"hit", func(b *bench) error {
		return b.hits("One document, from memory", 1, pollux, nginx, varnish, bareWith(1))
	}},
	{"hit-many", func(b *bench) error {
		return b.hits("10,000 documents, from memory", 10_000, pollux, nginx, varnish, bareWith(1), bareWith(10_000))
	}},
	{"miss", func(b *bench) error { return b.misses(pollux, polluxForgetful(), nginx, varnish, reverse) }},
	{"wake", func(b *bench) error { return b.wake(pollux, nginx, varnish, broadcast) }},
	{"savings", func(b *bench) error { return b.savings(polluxWithin(b.short), nginx, varnish) }},
	{"followers", (*bench).followers},
	{"scale", (*bench).scale},
}
