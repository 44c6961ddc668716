package console

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// runWith executes one command line of a table with two commands.
func runWith(env map[string]string, args ...string) (code int, stdout, stderr string) {
	take := func(ctx context.Context, t *Terminal, args []string) int {
		fs := t.Flags("take", "Takes flags.", "pollux take --limit 3 x  # three of x")
		limit := fs.Int("limit", 0, "at most so many `rows`")
		every := fs.Duration("every", time.Second, "how often")
		quiet := fs.Bool("quiet", false, "say nothing")
		q := fs.String("q", "", "an `id`")
		rest, code, done := t.Parse(fs, args, 1)
		if done {
			return code
		}
		io.WriteString(t.Stdout, strings.Join([]string{rest[0], *q, every.String(), strings.Repeat("i", *limit)}, "|"))
		if *quiet {
			io.WriteString(t.Stdout, "|quiet")
		}
		return ExitOK
	}
	serve := func(ctx context.Context, t *Terminal, args []string) int {
		_, code, _ := t.Parse(t.Flags("serve", "Serves."), args, 0)
		return code
	}
	var out, err bytes.Buffer
	t := &Terminal{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
		Env:      func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Commands: []Command{{Name: "serve", Summary: "serve", Run: serve}, {Name: "take", Args: "<thing>", Summary: "take", Run: take}}}
	code = Run(context.Background(), t, args)
	return code, out.String(), err.String()
}

func TestParse(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"flags before", []string{"--limit", "2", "-q=a", "x"}, "x|a|1s|ii"},
		{"flags behind", []string{"x", "--quiet", "--every=2m", "-q", "-1"}, "x|-1|2m0s||quiet"},
		{"one dash", []string{"-limit", "1", "x"}, "x||1s|i"},
		{"a switch that is off", []string{"--quiet=false", "x"}, "x||1s|"},
		{"what looks like a flag", []string{"--limit=1", "--", "--quiet"}, "--quiet||1s|i"},
		{"the standard input", []string{"-"}, "-||1s|"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, got, stderr := runWith(nil, append([]string{"take"}, c.args...)...)
			if code != ExitOK || got != c.want || stderr != "" {
				t.Errorf("take %q: code %d, %q and %q, want %q", c.args, code, got, stderr, c.want)
			}
		})
	}
}

// TestUsageFaults: each is one line that says what was meant.
func TestUsageFaults(t *testing.T) {
	cases := []struct{ args, want string }{
		{"sevre", "pollux: there is no command `sevre`: did you mean `serve`?"},
		{"SERVE", "pollux: there is no command `SERVE`: did you mean `serve`?"},
		{"se", "pollux: there is no command `se`: did you mean `serve`?"},
		{"start", "pollux: there is no command `start`: did you mean `serve`?"},
		{"ls", "pollux: there is no command `ls`: `pollux help` lists them"}, // there is no list in this table
		{"--hlep", "pollux: there is no flag `--hlep`: did you mean `--help`?"},
		{"--config", "pollux: there is no flag `--config`: flags stand behind the command, as in `pollux serve --help`"},
		{"frobnicate", "pollux: there is no command `frobnicate`: `pollux help` lists them"},
		{"\x1b[31m", "pollux: there is no command `\ufffd[31m`: `pollux help` lists them"},
		{"serve now", "pollux serve: takes no argument, and was given `now`"},
		{"take", "pollux take: wants <thing>"},
		{"take a b", "pollux take: wants <thing>, and was given 2 arguments"},
		{"take --limti 3 x", "pollux take: there is no flag `--limti`: did you mean `--limit`?"},
		{"take -quite x", "pollux take: there is no flag `--quite`: did you mean `--quiet`?"},
		{"take --zzz x", "pollux take: there is no flag `--zzz`, `pollux take --help` lists them"},
		{"take x --limit", "pollux take: --limit wants a value"},
		{"take --limit many x", "pollux take: --limit: want a number, not `many`"},
		{"take --every 5 x", "pollux take: --every: want a duration such as 90s or 1h, not `5`"},
		{"take --quiet=maybe x", "pollux take: --quiet: want true or false, not `maybe`"},
		{"take --color blue x", "pollux take: --color: want auto, always or never, not `blue`"},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := runWith(nil, strings.Fields(c.args)...)
			if code != ExitUsage || stdout != "" || stderr != c.want+"\n" {
				t.Errorf("code %d, %q and %q, want %q", code, stdout, stderr, c.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	want := `usage: pollux take [flags] <thing>

Takes flags.

flags:
  --color when        when to use colours: always, never, or auto (the default):
                      on a terminal, unless $NO_COLOR is set
  --every duration    how often (default 1s)
  --limit rows        at most so many rows
  -q id               an id
  --quiet             say nothing

examples:
  pollux take --limit 3 x  # three of x
`
	for _, args := range [][]string{{"take", "--help"}, {"take", "x", "-h"}, {"help", "take"}} {
		if code, got, stderr := runWith(nil, args...); code != ExitOK || got != want || stderr != "" {
			t.Errorf("%q: code %d, %q, got\n%s\nwant\n%s", args, code, stderr, got, want)
		}
	}
	_, narrow, _ := runWith(map[string]string{"COLUMNS": "50"}, "take", "--help")
	if !strings.Contains(narrow, "  --color when        when to use colours: always,\n                      never, or auto (the\n") {
		t.Errorf("in 50 columns:\n%s", narrow)
	}
	_, coloured, _ := runWith(map[string]string{"NO_COLOR": "1"}, "take", "--color", "always", "--help")
	if !strings.Contains(coloured, "\x1b[1mflags:\x1b[m\n") {
		t.Errorf("with --color always: %q", coloured)
	}
}
