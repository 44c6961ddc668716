// Command pollux is a polling aggregation proxy: clients poll it, and it polls
// the upstreams as seldom as it can. "pollux help" lists what it does.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"pollux/cmd/pollux/client"
	"pollux/cmd/pollux/console"
)

// Exit codes of the commands here.
const (
	exitOK      = console.ExitOK
	exitFailure = console.ExitFailure
	exitUsage   = console.ExitUsage
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

// commands lists what there is, in the order in which it is shown.
func commands() []console.Command {
	all := []console.Command{
		{Name: "serve", Summary: "run the proxy", Run: serveCommand},
		{Name: "demo", Summary: "simulated upstreams, Pollux and clients in one process: see it work", Run: demoCommand},
		{Name: "sandbox", Summary: "only the simulated upstreams, with faults on demand", Run: sandboxCommand},
		{Name: "check", Args: "[<config.yaml>]", Summary: "check config and provider files, and print every fault", Run: checkCommand},
		{Name: "explain", Args: "<provider> <body.json>", Summary: "show how a native answer becomes a task document", Run: explainCommand},
		{Name: "test", Args: "[<dir>]", Summary: "compare recorded answers with the documents that they must become", Run: testCommand},
	}
	all = append(all, client.Commands()...)
	return append(all,
		console.Command{Name: "backup", Args: "<file>", Summary: "write everything in the store to a file, also while Pollux runs", Run: backupCommand},
		console.Command{Name: "restore", Args: "<file>", Summary: "fill an empty store from a backup", Run: restoreCommand},
		console.Command{Name: "migrate", Summary: "copy the store of one config into that of another", Run: migrateCommand},
		console.Command{Name: "key", Args: "new <name>", Words: []string{"new"}, Summary: "make a Pollux key and its hash for clients:", Run: keyCommand},
		console.Command{Name: "schema", Summary: "print the JSON Schema of config.yaml or of a provider file, for editors", Run: schemaCommand},
		console.Command{Name: "completion", Args: "bash|zsh|fish", Words: []string{"bash", "zsh", "fish"}, Summary: "print a script that teaches a shell to complete pollux", Run: completionCommand},
		console.Command{Name: "version", Summary: "print the version", Run: versionCommand},
	)
}

// run executes one command line and returns its exit code. It returns when ctx
// ends, for commands that would go on.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &console.Terminal{Stdin: stdin, Stdout: stdout, Stderr: stderr, Env: os.LookupEnv, Commands: commands()}
	return console.Run(ctx, t, args)
}
