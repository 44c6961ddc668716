package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
	"pollux/cmd/pollux/demo"
	"pollux/providers"
	"pollux/providers/sandbox"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// demoAddress is where the demo listens unless told otherwise, so that the
// printed commands look familiar. It takes another port if that one is taken.
const demoAddress = "127.0.0.1:8080"

// demoOptions is what the flags of the demo say.
type demoOptions struct {
	listen  string // "" is demoAddress, or another port
	clients int
	speed   float64
	length  time.Duration // 0 is until ctx ends
}

func demoCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("demo", `Starts simulated upstreams for every provider, Pollux in front of them and a
fleet of clients that poll it, all in this process and on loopback, and shows
what is asked and what is saved. Now and then an upstream fails for a while.
Prints commands to try. Needs no key, no network and no other program.`,
		"pollux demo",
		"pollux demo --clients 200 --speed 4",
		"pollux demo --listen 127.0.0.1:9090",
		"pollux demo --for 30s  # ends by itself")
	var o demoOptions
	fs.StringVar(&o.listen, "listen", "", "`address` on loopback; without it "+demoAddress+", or another port if that one is taken")
	fs.IntVar(&o.clients, "clients", 30, "how many clients poll")
	fs.DurationVar(&o.length, "for", 0, "end by itself after this `time`; 0 runs until Ctrl-C")
	fs.Float64Var(&o.speed, "speed", 2, "how much faster than real the simulated tasks run")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	switch host, _, err := net.SplitHostPort(o.listen); {
	case o.clients < 1 || o.clients > 1000:
		return t.Misused(fs, "--clients is from 1 to 1000")
	case o.length < 0 || !(o.speed > 0): // NaN is a number to package flag
		return t.Misused(fs, "--for is not negative, --speed more than 0")
	case o.listen != "" && (err != nil || !wire.LoopbackHost(host)):
		return t.Misused(fs, "--listen wants an address on loopback such as 127.0.0.1:9090: whoever reaches the demo needs no key")
	}
	if err := runDemo(ctx, t, o); err != nil {
		return t.Fail("demo", err)
	}
	return exitOK
}

// runDemo runs until ctx ends, and leaves nothing behind.
func runDemo(ctx context.Context, t *console.Terminal, o demoOptions) (err error) {
	set, err := providers.Builtin()
	if err != nil {
		return err
	}
	upstreams, err := sandbox.New(set, sandbox.Options{Seed: uint64(time.Now().UnixNano()), Speed: o.speed})
	if err != nil {
		return err
	}
	upstreamListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pollux-demo-")
	if err != nil {
		upstreamListener.Close()
		return err
	}
	defer os.RemoveAll(dir)

	// The upstreams outlive Pollux, and Pollux its clients: nothing fails only
	// because the demo ends.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var servers sync.WaitGroup
	defer servers.Wait()
	defer stop()
	servers.Go(func() {
		if failed := serveHTTP(running, upstreamListener, demo.WithReceivers(upstreams)); failed != nil {
			fmt.Fprintln(t.Stderr, "pollux demo: the simulated upstreams ended:", failed)
		}
	})

	l := demoConfig(set, upstreamListener.Addr().String(), dir)
	if l.Listen = o.listen; l.Listen == "" {
		l.Listen = freeAddress(t.Stdout)
	}
	s, err := newService(ctx, l, newLogger(t.Stderr, l.Log, nil), noEnvironment)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	v, _ := buildVersion()
	s.server.SetAbout(v, demo.TeamKeys()...)
	ln, err := s.server.Listen()
	if err != nil {
		return err
	}
	serving, drain := context.WithCancel(running)
	served := make(chan error, 1)
	go func() { served <- s.run(serving, ln) }()

	fleet := demo.NewFleet(s.poller.Upstreams(), upstreams, "http://"+ln.Addr().String(), "http://"+upstreamListener.Addr().String())
	fleet.Greet(ctx, t.Stdout)
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	fleetErr := fleet.Run(ctx, o.clients, t)
	drain()
	return errors.Join(fleetErr, <-served)
}

// demoConfig is the default configuration with every simulated upstream.
func demoConfig(set *providers.Set, sandboxAddr, dir string) *config.Loaded {
	l := &config.Loaded{Config: config.Default(), Providers: set}
	l.Store.Path = filepath.Join(dir, "pollux.db")
	l.Log.Level = "error"                              // failing upstreams are part of the show
	l.Webhooks.AllowNetworks = []string{"127.0.0.0/8"} // their receivers are here
	l.Upstreams = map[string]upstream.Config{}
	for _, p := range set.All() {
		if p.Simulation == nil {
			continue
		}
		u := upstream.DefaultConfig()
		u.Provider, u.BaseURL = p.Name, sandbox.BaseURL(sandboxAddr, p.Name)
		l.Upstreams[p.Name] = u
	}
	return l
}

// freeAddress is demoAddress, or one with a port of the system's choice where
// somebody listens there already, which it says.
func freeAddress(w io.Writer) string {
	ln, err := net.Listen("tcp", demoAddress)
	if err != nil {
		fmt.Fprintf(w, "%s is taken by another program (%v), so the demo takes a free port; --listen names one.\n", demoAddress, innermost(err))
		return "127.0.0.1:0"
	}
	ln.Close()
	return demoAddress
}

// innermost is the cause at the end of the chain of err.
func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

func noEnvironment(string) (string, bool) { return "", false }
