// Package client is the commands that ask a running Pollux. It knows the API,
// and nothing of the server.
package client

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

// Commands lists get, wait, watch, list, upstreams, mcp and top.
func Commands() []console.Command {
	return []console.Command{
		{Name: "get", Args: "<task>", Summary: "show a task", Run: getCommand},
		{Name: "wait", Args: "<task>...", Summary: "wait until tasks have ended; the exit code says how", Run: waitCommand},
		{Name: "watch", Args: "<task>", Summary: "show every change of a task until it has ended", Run: watchCommand},
		{Name: "list", Args: "[<upstream> | <task>]", Summary: "list the tasks that Pollux knows", Run: listCommand},
		{Name: "upstreams", Summary: "the state of each upstream, those in trouble first", Run: upstreamsCommand},
		{Name: "mcp", Summary: "MCP server on standard input and output, for language models", Run: mcpCommand},
		{Name: "top", Summary: "live view of the fleet: upstreams, failures, slowest tasks", Run: topCommand},
	}
}

// Exit codes of the client, beside console.ExitOK and console.ExitUsage. Those from 64 on are
// those of sysexits.h, of timeout(1) and of shells.
const (
	exitTaskFailed     = 1
	exitTaskCancelled  = 2
	exitTaskTimedOut   = 3
	exitTaskIncomplete = 4
	exitTaskWaits      = 5   // for the caller to act
	exitUnavailable    = 69  // Pollux or the upstream cannot answer
	exitOutput         = 74  // what was found out cannot be written
	exitGaveUp         = 124 // waiting
	exitInterrupted    = 130
)

// exitCodes is how a task ended, as an exit code.
var exitCodes = map[normalize.Status]int{
	normalize.Completed:      console.ExitOK,
	normalize.Failed:         exitTaskFailed,
	normalize.Cancelled:      exitTaskCancelled,
	normalize.TimedOut:       exitTaskTimedOut,
	normalize.Incomplete:     exitTaskIncomplete,
	normalize.RequiresAction: exitTaskWaits,
}

// defaultServer is where "pollux serve" listens by default.
const defaultServer = "http://127.0.0.1:8080"

// fleetHelp ends the usage of commands that ask about the fleet, clientHelp that
// of commands that ask as somebody whom an upstream knows.
const (
	fleetHelp = `
The address comes from --server, $POLLUX_SERVER or client.yaml in
~/.config/pollux, a Pollux key from --key-file, $POLLUX_KEY or that file.`
	clientHelp = fleetHelp + ` The
upstream's credential comes from --header and --header-file, or
$POLLUX_CREDENTIAL, or that file. docs/cli.md tells more.`
)

// usageError is a mistake in the command line, or in what it refers to.
type usageError struct{ error }

func wrongUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// outputError is a failure to write what was found out.
type outputError struct{ error }

// connectionFlags is what every command of the client has in common.
type connectionFlags struct {
	server, keyFile, headerFile string
	headers                     []string
	known                       bool // to an upstream, whose own tasks are all that is seen then
}

func addConnectionFlags(fs *flag.FlagSet) *connectionFlags {
	f := &connectionFlags{}
	fs.StringVar(&f.server, "server", "", "`address` of Pollux, such as "+defaultServer)
	fs.StringVar(&f.keyFile, "key-file", "", "`file` with the Pollux key")
	return f
}

// addCredentialFlags is for commands that ask as somebody whom an upstream knows.
func (f *connectionFlags) addCredentialFlags(fs *flag.FlagSet) *connectionFlags {
	f.known = true
	fs.StringVar(&f.headerFile, "header-file", "", "`file` with the upstream's credential, one \"Name: value\" a line")
	fs.Func("header", `the upstream's credential, as 'Name: value' with $NAME for environment variables,
in single quotes, so that other users do not see it; may be repeated`,
		func(s string) error { f.headers = append(f.headers, s); return nil })
	return f
}

// client talks to one Pollux, for one user. It is safe for concurrent use.
type client struct {
	base        string // without a slash at its end
	key         string // of Pollux; "" if none
	credentials credentials
	http        *http.Client
}

// connect settles where Pollux is and who asks, from flags, environment and
// the user's file, in that order. Call close when done.
func (f *connectionFlags) connect(t *console.Terminal) (*client, error) {
	file, err := readClientFile(t)
	if err != nil {
		return nil, err
	}
	own, err := serverAddress(cmp.Or(file.Server, defaultServer))
	if err != nil {
		return nil, fmt.Errorf("server in %s: %w", file.path, err)
	}
	fromEnvironment, _ := t.Env("POLLUX_SERVER")
	base, err := serverAddress(cmp.Or(f.server, fromEnvironment, own))
	if err != nil {
		return nil, err
	}
	if file.Server != "" && base != own {
		// What the file holds is for the server that it names, and for no
		// other that somebody makes the user ask.
		file.Key, file.Credentials = "", nil
	}
	c := &client{base: base}
	if c.key, err = f.polluxKey(t, file); err != nil {
		return nil, err
	}
	if f.known {
		if c.credentials, err = f.upstreamCredentials(t, file); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	c.http = &http.Client{
		Transport: transport,
		// A redirect would take the credential elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// run connects for do, and ends the command name with what it came to.
func (f *connectionFlags) run(ctx context.Context, t *console.Terminal, name string, do func(*client) error) int {
	c, err := f.connect(t)
	if err == nil {
		defer c.close()
		err = do(c)
	}
	return ended(ctx, t, name, err)
}

// Format keeps the credentials out of whatever is printed.
func (c client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "client of %s", c.base) }

func (c *client) close() { c.http.CloseIdleConnections() }

// serverAddress checks an address of Pollux and gives it its one form; without
// a scheme it is http.
func serverAddress(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		// The error would repeat the address, and what stands in it.
		return "", wrongUsage("the address of Pollux is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", wrongUsage("the address of Pollux wants to be http://host:port or https://host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", wrongUsage("the address of Pollux wants no user, query or fragment")
	}
	return strings.TrimRight(u.Scheme+"://"+strings.ToLower(u.Host)+u.EscapedPath(), "/"), nil
}

// ended prints why the command name ends, and returns its exit code: nothing
// when the user interrupted it.
func ended(ctx context.Context, t *console.Terminal, name string, err error) int {
	switch {
	case ctx.Err() != nil, errors.Is(err, errInterrupted):
		return exitInterrupted
	case err == nil:
		return console.ExitOK
	}
	fmt.Fprintf(t.Stderr, "pollux %s: %s\n", name, console.CleanText(err.Error()))
	return codeOf(err)
}

func codeOf(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return console.ExitUsage
	}
	if _, ok := errors.AsType[outputError](err); ok {
		return exitOutput
	}
	if p, ok := errors.AsType[*problem](err); ok && p.is("invalid-request") {
		return console.ExitUsage // Pollux understood what was asked, and that it makes no sense
	}
	return exitUnavailable
}
