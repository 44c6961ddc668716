// Pollbench compares the learned poll schedule with others and with the best
// that any schedule can do: polls per task against the delay until an end is
// noticed. It simulates; nothing is polled and nothing waits.
//
//	go run ./benchmarks/pollbench [--seed N | --durations FILE] [--target '1s or 10%'] [--max-delay '60s or 100%'] [--json]
//
// The six reference distributions are drawn from the seeds N to N+5. A file
// holds the durations of real tasks instead, one number of seconds a line.
// Z is the mean delay in units of the target, x the polls in relation to the
// fewest possible at the same Z.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"pollux/benchmarks/pollbench/sim"
	"pollux/proxy/poller/adaptive"
)

// exitUsage is EX_USAGE of sysexits.h: wrong flags or files.
const exitUsage = 64

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "pollbench:", err)
		return exitUsage
	}
	r := o.measure()
	write := r.writeTable
	if o.json {
		write = r.writeJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintln(stderr, "pollbench: write the results:", err)
		return 1
	}
	return 0
}

type options struct {
	seed      uint64
	path      string
	durations []float64 // nil: the reference distributions
	config    adaptive.Config
	json      bool
}

// parseOptions reads the flags, and the file that they name.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{config: adaptive.DefaultConfig()}
	flags := flag.NewFlagSet("pollbench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // faults are printed once, by run
	flags.Uint64Var(&o.seed, "seed", 1000, "seed of the first reference distribution")
	flags.StringVar(&o.path, "durations", "", "file of real durations, one number of seconds a line")
	flags.Var(delayFlag{delay: &o.config.TargetDelay}, "target", "mean delay aimed at")
	flags.Var(delayFlag{&o.config.MaxDelay, true}, "max-delay", "longest gap of the adaptive policy, or none")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stderr)
			flags.Usage()
		}
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["durations"] {
		return o, nil
	}
	if given["seed"] {
		return o, errors.New("--seed and --durations exclude each other")
	}
	var err error
	o.durations, err = readDurations(o.path)
	return o, err
}

func (o *options) measure() *report {
	r := &report{Target: delayFlag{delay: &o.config.TargetDelay}.String(), MaxDelay: delayFlag{delay: &o.config.MaxDelay}.String()}
	if o.durations != nil {
		r.Durations = o.path
		r.Rows = sim.Compare(sim.RecordedCase("recorded", o.durations, o.config), o.config)
	} else {
		r.Seed = &o.seed
		for i, law := range sim.Laws {
			c := sim.ReferenceCase(law, o.seed+uint64(i), o.config)
			r.Rows = append(r.Rows, sim.Compare(c, o.config)...)
		}
	}
	r.score()
	return r
}

var errDelay = errors.New(`want a duration, a percentage of the age, or both as in "1s or 10%"`)

// delayFlag reads a delay as the configuration writes it, the flag.Value of
// --target and --max-delay. The word none is accepted if optional is set.
type delayFlag struct {
	delay    *adaptive.Delay
	optional bool
}

func (f delayFlag) String() string {
	if f.delay == nil || *f.delay == (adaptive.Delay{}) {
		return "none"
	}
	return f.delay.String()
}

func (f delayFlag) Set(s string) error {
	if f.optional && s == "none" {
		*f.delay = adaptive.Delay{}
		return nil
	}
	d, err := adaptive.ParseDelay(s)
	if err != nil || d == (adaptive.Delay{}) || d.Absolute != 0 && d.Absolute < time.Millisecond || d.Relative < 0 || d.Relative > 10 {
		return errDelay
	}
	*f.delay = d
	return nil
}
