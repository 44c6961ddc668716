// Package console is what the commands of pollux have in common: their table,
// flags and usage, and the terminal, file or pipe that they write to.
package console

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
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
	Words   []string // what the first argument may be; nil for what a shell cannot know
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
		if len(args) > 1 {
			return Run(ctx, t, []string{args[1], "--help"})
		}
		t.usage(t.Stdout)
		return ExitOK
	case "--version", "-version":
		args = append([]string{"version"}, args[1:]...)
	}
	c := t.command(args[0])
	if c == nil {
		return t.unknownCommand(args[0])
	}
	return c.Run(ctx, t, args[1:])
}

func (t *Terminal) unknownCommand(name string) int {
	what, hint := "command", "`pollux help` lists them"
	near := strictyaml.Suggest(name, t.names())
	if synonym := synonyms[name]; synonym != "" && t.command(synonym) != nil {
		near = synonym
	}
	if strings.HasPrefix(name, "-") {
		what, hint = "flag", "flags stand behind the command, as in `pollux serve --help`"
		near = strictyaml.Suggest(name, []string{"--help", "--version"})
	}
	if near != "" {
		hint = fmt.Sprintf("did you mean `%s`?", near)
	}
	fmt.Fprintf(t.Stderr, "pollux: there is no %s `%s`: %s\n", what, CleanLine(name), hint)
	return ExitUsage
}

// synonyms are words of other programs for what a command does.
var synonyms = map[string]string{
	"run": "serve", "start": "serve", "server": "serve", "ls": "list", "ps": "list", "tasks": "list",
	"show": "get", "follow": "watch", "validate": "check", "status": "upstreams", "dashboard": "top", "keys": "key",
}

func (t *Terminal) names() []string {
	names := make([]string, len(t.Commands))
	for i, c := range t.Commands {
		names[i] = c.Name
	}
	return names
}

// command is the command with that name, or nil.
func (t *Terminal) command(name string) *Command {
	i := slices.IndexFunc(t.Commands, func(c Command) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Commands[i]
}

func (t *Terminal) usage(w io.Writer) {
	fmt.Fprint(w, "Pollux stands between clients and APIs that answer \"come back later\".\n\nusage: pollux <command> [flags]\n\n")
	for _, c := range t.Commands {
		fmt.Fprintf(w, "  %-34s %s\n", strings.TrimSpace(c.Name+" "+c.Args), c.Summary)
	}
	fmt.Fprint(w, "\npollux <command> --help tells more about one.\n")
}
