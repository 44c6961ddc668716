package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
)

func checkCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("check", `Checks the config and the provider files, and prints every fault with its file,
line and key. Nothing is started. Exits 1 if there is any.`,
		"pollux check  # config.yaml, if there is one",
		"pollux check /etc/pollux/config.yaml")
	file := configFlag(fs)
	rest, code, done := t.Parse(fs, args, console.AnyCount)
	switch {
	case done:
		return code
	case len(rest) > 1:
		return t.Misused(fs, "checks one config, and was given %d", len(rest))
	case len(rest) == 1 && *file != "":
		return t.Misused(fs, "was given a config twice, as an argument and as --config")
	case len(rest) == 1:
		*file = rest[0]
	}
	l, err := config.Source{File: *file, Env: t.Env}.Load(nil)
	if err != nil {
		fmt.Fprintln(t.Stderr, err)
		return exitFailure
	}
	if warning := l.Store.Warning(); warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	for _, warning := range l.Warnings {
		fmt.Fprintln(t.Stderr, "warning:", warning)
	}
	name := cmp.Or(l.File, "no config file, the defaults")
	fmt.Fprintf(t.Stdout, "%s: %s, %s, no faults\n", name,
		console.Plural(len(l.Upstreams), "upstream"), console.Plural(len(l.Providers.All()), "provider"))
	return exitOK
}

// configFlag is the flag that every command with a config has.
func configFlag(fs *flag.FlagSet) *string {
	return fs.String("config", "", "config `file`; without it config.yaml if there is one, else the defaults")
}
