package main

import (
	"context"
	"fmt"
	"regexp"

	"pollux/cmd/pollux/console"
	"pollux/proxy/access"
)

// clientName is what needs no quotes in YAML.
var clientName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

func keyCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("key", `Makes a Pollux key. The key is for the client and shown once; its hash goes
under clients: in the config, which then holds nothing that needs hiding.`,
		"pollux key new ci",
		"pollux key new --quiet ci > ci.key  # for --key-file, or clients: with ${NAME}")
	quiet := fs.Bool("quiet", false, "print the key and nothing else")
	rest, code, done := t.Parse(fs, args, 2)
	switch {
	case done:
		return code
	case rest[0] != "new":
		return t.Misused(fs, "does new, not `%s`", console.CleanLine(rest[0]))
	case !clientName.MatchString(rest[1]):
		return t.Misused(fs, "wants a name of letters, digits, - and _ that begins with a letter")
	}
	key, hash := access.NewKey()
	if *quiet {
		fmt.Fprintln(t.Stdout, key)
		return exitOK
	}
	fmt.Fprintf(t.Stdout, "key for %s, shown only now:\n\n  %s\n\nfor the config:\n\n  clients:\n    - {name: %s, key: \"%s\", upstreams: [\"*\"], scopes: [read]}\n",
		rest[1], key, rest[1], hash)
	return exitOK
}
