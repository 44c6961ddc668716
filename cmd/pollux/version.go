package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"pollux/cmd/pollux/console"
)

// version and commit are set by the release build (-ldflags "-X main.version=...").
var version, commit string

// buildVersion is what was built: from the release build, or else from what the
// Go tool knows of the module and its checkout.
func buildVersion() (v, revision string) {
	v, revision = version, commit
	info, ok := debug.ReadBuildInfo()
	if ok && v == "" {
		v = info.Main.Version
	}
	if ok && revision == "" {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				revision += "+changes"
			}
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if revision == "" {
		revision = "unknown"
	}
	return v, revision
}

func versionCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("version", "Prints version, commit and Go version.",
		"pollux version")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	v, revision := buildVersion()
	fmt.Fprintf(t.Stdout, "pollux %s\ncommit %s\n%s %s/%s\n", v, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
