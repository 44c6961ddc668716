package console

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// AnyCount lets a command look itself at how many arguments there are.
const AnyCount = -1

// Flags is the flag set of the command name; its usage says what it is for.
func (t *Terminal) Flags(name, text string) *flag.FlagSet {
	i := t.indexOf(name)
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(t.Stderr)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: %s\n\n%s\n", strings.TrimSpace("pollux "+name+" [flags] "+t.Commands[i].Args), text)
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

// Parse reads flags, also behind arguments, and wants count arguments. When
// done, the command ends with code.
func (t *Terminal) Parse(fs *flag.FlagSet, args []string, count int) (rest []string, code int, done bool) {
	for {
		if len(args) > 0 && slices.Contains([]string{"--help", "-help", "-h"}, args[0]) {
			fs.SetOutput(t.Stdout)
		}
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, ExitOK, true
		case err != nil:
			return nil, ExitUsage, true
		}
		if fs.NArg() == 0 {
			break
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
	if count != AnyCount && len(rest) != count {
		return nil, t.Misused(fs, "wants %d arguments, has %d", count, len(rest)), true
	}
	return rest, ExitOK, false
}

// Misused says what is wrong with a command line and what would be right, and
// returns the code for it.
func (t *Terminal) Misused(fs *flag.FlagSet, format string, args ...any) int {
	fmt.Fprintf(t.Stderr, "pollux %s: %s\n\n", fs.Name(), fmt.Sprintf(format, args...))
	fs.Usage()
	return ExitUsage
}
