package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
	"pollux/providers/sandbox"
)

func sandboxCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("sandbox", `Plays the upstreams of every provider whose file has a simulation section, on
the vendors' own routes. Any credential but "invalid" and "revoked" is let in.
While it runs it is controlled under /_sandbox/:

  POST   /_sandbox/faults    switches a fault on: provider, route, kind, ratio, delay, for
  GET    /_sandbox/faults    lists the faults that are on
  DELETE /_sandbox/faults    switches off those of ?provider=, or all
  POST   /_sandbox/tasks     makes tasks: provider, id, params, credential, lifecycle, body_bytes, count
  POST   /_sandbox/messages  posts to a webhook what the upstream would: provider, id, url, secret
  POST   /_sandbox/revoked   refuses a credential from now on
  DELETE /_sandbox/revoked   lets it in again
  GET    /_sandbox/stats     counts requests by kind, and polls by task`,
		"pollux sandbox",
		"pollux sandbox --speed 10 --fault kind=503,ratio=0.1,provider=orq",
		`curl -d '{"provider":"shannon","kind":"503","for":"30s"}' localhost:8081/_sandbox/faults`)
	listen := fs.String("listen", "127.0.0.1:8081", "`address` to listen on")
	file := configFlag(fs)
	var options sandbox.Options
	fs.Uint64Var(&options.Seed, "seed", 1, "makes ids, courses and faults repeatable")
	fs.Float64Var(&options.Speed, "speed", 1, "divides every duration: 10 ends a task of a minute after six seconds")
	var faults []sandbox.Fault
	faultFlag(fs, &faults)
	rateFlag(fs, &options)
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	if _, _, err := net.SplitHostPort(*listen); err != nil {
		return t.Misused(fs, "--listen wants an address such as 127.0.0.1:8081")
	}
	if !(options.Speed > 0) { // NaN is a number to package flag
		return t.Misused(fs, "--speed wants more than 0")
	}
	set, _, err := config.Providers(*file, "", t.Env)
	if err != nil {
		return t.Fail("sandbox", err)
	}
	for name := range options.Rates {
		if p := set.Get(name); name != "" && (p == nil || p.Simulation == nil) {
			return t.Misused(fs, "--rate: no simulated provider %q", name)
		}
	}
	server, err := sandbox.New(set, options)
	if err != nil {
		return t.Fail("sandbox", err)
	}
	for _, f := range faults {
		if err := server.AddFault(f); err != nil {
			return t.Misused(fs, "--%v", err)
		}
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return t.Fail("sandbox", err)
	}
	addr := listener.Addr().String()
	fmt.Fprintln(t.Stdout, "simulated upstreams:")
	table := &console.Table{Columns: make([]console.Column, 2)}
	for _, p := range set.All() {
		if p.Simulation != nil {
			table.Rows = append(table.Rows, []console.Cell{{Text: "  " + p.Name}, {Text: sandbox.BaseURL(addr, p.Name)}})
		}
	}
	for _, line := range t.Lines(table, 0)[1:] { // without the empty heads
		fmt.Fprintln(t.Stdout, line)
	}
	if err := serveHTTP(ctx, listener, server); err != nil {
		return t.Fail("sandbox", err)
	}
	return exitOK
}

// serveHTTP serves until ctx ends, and returns when the last answer is out,
// or after two seconds.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// faultFlag is --fault kind=503,ratio=0.1,provider=shannon,...
func faultFlag(fs *flag.FlagSet, faults *[]sandbox.Fault) {
	fs.Func("fault", `trouble from the start, as in kind=503,ratio=0.1; may be repeated. kind is latency, cut,
reset, hang, html, garbage, redirect, foreign or an HTTP code; also provider=, route= (poll,
create, cancel, action, other), delay=, for=`, func(s string) error {
		var f sandbox.Fault
		for _, member := range strings.Split(s, ",") {
			name, value, _ := strings.Cut(member, "=")
			var err error
			switch name {
			case "kind":
				f.Kind = value
			case "provider":
				f.Provider = value
			case "route":
				f.Route = value
			case "ratio":
				f.Ratio, err = strconv.ParseFloat(value, 64)
			case "delay":
				f.Delay, err = time.ParseDuration(value)
			case "for":
				f.For, err = time.ParseDuration(value)
			default:
				err = errors.New("unknown name")
			}
			if err != nil {
				return fmt.Errorf("%s: not understood", cmp.Or(name, "it"))
			}
		}
		*faults = append(*faults, f)
		return nil
	})
}

// rateFlag is --rate 100/1m, or --rate orq=100/1m for one provider.
func rateFlag(fs *flag.FlagSet, o *sandbox.Options) {
	fs.Func("rate", "requests per credential, as in 100/1m, or orq=100/1m for one provider; may be repeated", func(s string) error {
		provider, rate, named := strings.Cut(s, "=")
		if !named {
			provider, rate = "", s
		}
		count, per, _ := strings.Cut(rate, "/")
		requests, err := strconv.Atoi(count)
		window, err2 := time.ParseDuration(per)
		if err != nil || err2 != nil || requests < 1 || window <= 0 {
			return errors.New("want requests/duration, as in 100/1m")
		}
		if o.Rates == nil {
			o.Rates = map[string]sandbox.Rate{}
		}
		o.Rates[provider] = sandbox.Rate{Requests: requests, Per: window}
		return nil
	})
}
