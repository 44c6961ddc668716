// Package console is what the commands of pollux have in common: their table,
// flags and usage, and the terminal, file or pipe that they write to.
package console

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Exit codes of every command; 64 is EX_USAGE of sysexits.h.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 64
)

// Command is one word after pollux.
type Command struct {
	Name    string
	Args    string // after the flags, for the usage
	Summary string
	Run     func(ctx context.Context, t *Terminal, args []string) int
}

// Run executes one command line, the first of args naming one of the commands
// of t, and returns its exit code. It returns when ctx ends, for commands that
// would go on.
func Run(ctx context.Context, t *Terminal, args []string) int {
	if len(args) == 0 {
		t.usage(t.Stderr)
		return ExitUsage
	}
	switch args[0] {
	case "help", "--help", "-help", "-h":
		t.usage(t.Stdout)
		return ExitOK
	case "--version", "-version":
		args = append([]string{"version"}, args[1:]...)
	}
	i := t.indexOf(args[0])
	if i < 0 {
		fmt.Fprintf(t.Stderr, "pollux: there is no command %q\n\n", args[0])
		t.usage(t.Stderr)
		return ExitUsage
	}
	return t.Commands[i].Run(ctx, t, args[1:])
}

func (t *Terminal) indexOf(name string) int {
	return slices.IndexFunc(t.Commands, func(c Command) bool { return c.Name == name })
}

func (t *Terminal) usage(w io.Writer) {
	fmt.Fprint(w, "Pollux stands between clients and APIs that answer \"come back later\".\n\nusage: pollux <command> [flags]\n\n")
	for _, c := range t.Commands {
		fmt.Fprintf(w, "  %-34s %s\n", strings.TrimSpace(c.Name+" "+c.Args), c.Summary)
	}
	fmt.Fprint(w, "\npollux <command> --help tells more about one.\n")
}
