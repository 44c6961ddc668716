package console

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"pollux/providers/strictyaml"
)

// AnyCount lets a command look itself at how many arguments there are.
const AnyCount = -1

// Flags is the flag set of the command name; its usage says what it is for,
// and shows examples, command lines with what they do behind a #.
func (t *Terminal) Flags(name, text string, examples ...string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.Usage = func() { t.help(fs, text, examples) }
	fs.Func("color", "`when` to use colours: always, never, or auto (the default): on a terminal, unless $NO_COLOR is set", t.setColor)
	return fs
}

// Parse reads flags, also behind arguments, and wants count arguments. When
// done, the command ends with code.
func (t *Terminal) Parse(fs *flag.FlagSet, args []string, count int) (rest []string, code int, done bool) {
	rest, help, err := readArgs(fs, args)
	switch {
	case help:
		fs.Usage()
		return nil, ExitOK, true
	case err != nil:
		return nil, t.Misused(fs, "%v", err), true
	case count != AnyCount && len(rest) != count:
		return nil, t.Misused(fs, "%s", t.wanted(fs, rest)), true
	}
	return rest, ExitOK, false
}

// wanted says what arguments a command takes, to who gave it rest.
func (t *Terminal) wanted(fs *flag.FlagSet, rest []string) string {
	args := t.command(fs.Name()).Args
	switch {
	case args == "":
		return fmt.Sprintf("takes no argument, and was given `%s`", CleanLine(rest[0]))
	case len(rest) == 0:
		return "wants " + args
	}
	return fmt.Sprintf("wants %s, and was given %s", args, Plural(len(rest), "argument"))
}

// Misused says in one line what is wrong with a command line, and returns the
// code for it.
func (t *Terminal) Misused(fs *flag.FlagSet, format string, args ...any) int {
	fmt.Fprintf(t.Stderr, "pollux %s: %s\n", fs.Name(), fmt.Sprintf(format, args...))
	return ExitUsage
}

// readArgs is what package flag does, but with flags behind arguments too, and
// with errors that name a flag as it is typed.
func readArgs(fs *flag.FlagSet, args []string) (rest []string, help bool, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), false, nil
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := fs.Lookup(name)
		switch {
		case f == nil && (name == "help" || name == "h"):
			return nil, true, nil
		case f == nil:
			return nil, false, unknownFlag(fs, name)
		case !given && isSwitch(f):
			value = "true"
		case !given && len(args) == 0:
			return nil, false, fmt.Errorf("%s wants a value", dashed(name))
		case !given:
			value, args = args[0], args[1:]
		}
		if err := fs.Set(name, value); err != nil {
			return nil, false, fmt.Errorf("%s: %s", dashed(name), plainFault(f, value, err))
		}
	}
	return rest, false, nil
}

// unknownFlag does not repeat a name that is near none: it may be a secret
// that lost its flag.
func unknownFlag(fs *flag.FlagSet, name string) error {
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	if near := strictyaml.Suggest(name, known); near != "" {
		return fmt.Errorf("there is no flag `%s`: did you mean `%s`?", dashed(CleanLine(name)), dashed(near))
	}
	return fmt.Errorf("there is no flag `%s`, `pollux %s --help` lists them", dashed(CleanLine(name)), fs.Name())
}

// dashed is a flag as it is typed: with two dashes, a single letter with one.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// isSwitch reports whether a flag goes without a value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// plainFault says what a value should have been, where package flag only says
// that it did not parse.
func plainFault(f *flag.Flag, value string, err error) string {
	getter, ok := f.Value.(flag.Getter)
	if !ok {
		return err.Error()
	}
	kind := map[string]string{
		"int": "a number", "uint64": "a number that is not negative", "float64": "a number",
		"bool": "true or false", "time.Duration": "a duration such as 90s or 1h",
	}[fmt.Sprintf("%T", getter.Get())]
	if kind == "" {
		return err.Error()
	}
	return fmt.Sprintf("want %s, not `%s`", kind, CleanLine(value))
}

// helpWidth is how wide help is where nobody says, and at most.
const helpWidth = 80

// help prints what a command does, its flags and its examples.
func (t *Terminal) help(fs *flag.FlagSet, text string, examples []string) {
	w := t.Stdout
	fmt.Fprintf(w, "%s %s\n\n%s\n", t.Paint(Strong, "usage:"),
		strings.TrimSpace("pollux "+fs.Name()+" [flags] "+t.command(fs.Name()).Args), text)
	fmt.Fprintf(w, "\n%s\n", t.Paint(Strong, "flags:"))
	t.helpFlags(w, fs)
	if len(examples) > 0 {
		fmt.Fprintf(w, "\n%s\n", t.Paint(Strong, "examples:"))
	}
	for _, example := range examples {
		line, comment, found := strings.Cut(example, "  # ")
		if found {
			comment = "  " + t.Paint(Faint, "# "+comment)
		}
		fmt.Fprintf(w, "  %s%s\n", line, comment)
	}
}

func (t *Terminal) helpFlags(w io.Writer, fs *flag.FlagSet) {
	const indent = 22 // of what flags do
	width := helpWidth
	if own := t.Width(); own > 0 {
		width = min(own, helpWidth)
	}
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		head := strings.TrimSpace(dashed(f.Name) + " " + value)
		if !slices.Contains([]string{"", "0", "false", "0s"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		usage = Wrap(strings.Join(strings.Fields(usage), " "), width, indent)
		if len(head)+2 > indent-2 {
			head += "\n" + strings.Repeat(" ", indent-2)
		}
		fmt.Fprintf(w, "  %-*s%s\n", indent-2, head, usage)
	})
}

// Plural is n and what there are so many of.
func Plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
