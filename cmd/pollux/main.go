// Command pollux is a polling aggregation proxy: clients poll it, and it polls
// the upstreams as seldom as it can. "pollux help" lists what it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Exit codes of every command; 64 is EX_USAGE of sysexits.h.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
)

func main() {
	// net/http reports there what upstreams send unasked, which may be a
	// credential. Our own log is passed on, never this one.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a graceful end, the second gets the default: at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// terminal is where a command reads and writes, and its environment.
type terminal struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(name string) (string, bool)
}

// command is one word after pollux.
type command struct {
	name    string
	args    string // after the flags, for the usage
	summary string
	run     func(ctx context.Context, t *terminal, args []string) int
}

// commands lists what there is, in the order in which it is shown.
func commands() []command {
	return []command{
		{"serve", "", "run the proxy", serveCommand},
		{"demo", "", "simulated upstreams, Pollux and clients in one process: see it work", demoCommand},
		{"sandbox", "", "only the simulated upstreams, with faults on demand", sandboxCommand},
		{"check", "", "check config and provider files, and print every fault", checkCommand},
		{"explain", "<provider> <body.json>", "show how a native answer becomes a task document", explainCommand},
		{"get", "<task>", "show a task", getCommand},
		{"wait", "<task>...", "wait until tasks have ended; the exit code says how", waitCommand},
		{"watch", "<task>", "show every change of a task until it has ended", watchCommand},
		{"list", "[<upstream> | <task>]", "list the tasks that Pollux knows", listCommand},
		{"top", "", "live view of the fleet: counts, upstreams, slowest tasks", topCommand},
		{"key", "new <name>", "make a Pollux key and its hash for clients:", keyCommand},
		{"completion", "bash|zsh|fish", "print a script that teaches a shell to complete pollux", completionCommand},
		{"version", "", "print the version", versionCommand},
	}
}

// run executes one command line and returns its exit code. It returns when ctx
// ends, for commands that would go on.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &terminal{stdin: stdin, stdout: stdout, stderr: stderr, env: os.LookupEnv}
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "--help", "-help", "-h":
		usage(stdout)
		return exitOK
	case "--version", "-version":
		return versionCommand(ctx, t, args[1:])
	}
	i := indexOf(args[0])
	if i < 0 {
		fmt.Fprintf(stderr, "pollux: there is no command %q\n\n", args[0])
		usage(stderr)
		return exitUsage
	}
	return commands()[i].run(ctx, t, args[1:])
}

func indexOf(name string) int {
	return slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Pollux stands between clients and APIs that answer \"come back later\".\n\nusage: pollux <command> [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-34s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	fmt.Fprint(w, "\npollux <command> --help tells more about one.\n")
}

// flags is the flag set of the command name; its usage says what it is for.
func (t *terminal) flags(name, text string) *flag.FlagSet {
	i := indexOf(name)
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(t.stderr)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: %s\n\n%s\n", strings.TrimSpace("pollux "+name+" [flags] "+commands()[i].args), text)
		if flagsOf(fs) > 0 {
			fmt.Fprint(fs.Output(), "\nflags:\n")
			fs.PrintDefaults()
		}
	}
	return fs
}

func flagsOf(fs *flag.FlagSet) (n int) {
	fs.VisitAll(func(*flag.Flag) { n++ })
	return n
}

// anyCount lets a command look itself at how many arguments there are.
const anyCount = -1

// parse reads flags, also behind arguments, and wants count arguments. When
// done, the command ends with code.
func (t *terminal) parse(fs *flag.FlagSet, args []string, count int) (rest []string, code int, done bool) {
	for {
		if slices.Contains([]string{"--help", "-help", "-h"}, firstOf(args)) {
			fs.SetOutput(t.stdout)
		}
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, true
		case err != nil:
			return nil, exitUsage, true
		}
		if fs.NArg() == 0 {
			break
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
	if count != anyCount && len(rest) != count {
		return nil, t.misused(fs, "wants %d arguments, has %d", count, len(rest)), true
	}
	return rest, exitOK, false
}

// misused says what is wrong with a command line and what would be right, and
// returns the code for it.
func (t *terminal) misused(fs *flag.FlagSet, format string, args ...any) int {
	fmt.Fprintf(t.stderr, "pollux %s: %s\n\n", fs.Name(), fmt.Sprintf(format, args...))
	fs.Usage()
	return exitUsage
}

func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// fail prints err, one line per fault, and returns the code for it.
func (t *terminal) fail(name string, err error) int {
	fmt.Fprintf(t.stderr, "pollux %s: %v\n", name, err)
	return exitFailure
}
