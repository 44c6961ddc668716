package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pollux/cmd/pollux/console"
)

const (
	// waitOnce is how long Pollux is asked to wait within one request: less
	// than what intermediaries take for a dead connection.
	waitOnce = 30 * time.Second
	// waitPace is the least time between two requests, whatever is answered.
	waitPace = 500 * time.Millisecond
	// patience is how long after its last good answer Pollux may fail, as when
	// it restarts, before a command gives up.
	patience = time.Minute
	// pollPace is the time between two requests when Pollux cannot wait and
	// does not say when to come back.
	pollPace = 2 * time.Second
)

var errGaveUp = errors.New("gave up waiting")

func waitCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("wait", `Waits until a task has ended or wants something of you, and shows it. Exits 0
when it completed, 1 failed, 2 was cancelled, 3 timed out, 4 is incomplete, 5
requires action; 69 when Pollux or the upstream cannot answer, 124 after
--timeout. Of several tasks the worst decides.
`+clientHelp,
		"pollux wait shannon/task_1 && echo done",
		"pollux wait --timeout 10m --quiet orq/my-agent/01K6 shannon/task_1",
		"pollux wait --json shannon/task_1 | jq .usage")
	connection := addConnectionFlags(fs).addCredentialFlags(fs)
	asJSON := fs.Bool("json", false, "print each task document as it was received, one a line")
	quiet := fs.Bool("quiet", false, "print nothing but problems: the exit code says it all")
	var timeout time.Duration
	fs.Func("timeout", "give up after this `time`, such as 90s or 1h, or a number of seconds; 0 waits as long as\nit takes (the default)", func(s string) (err error) {
		timeout, err = parseTimeout(s)
		return err
	})
	rest, code, done := t.Parse(fs, args, console.AnyCount)
	if done {
		return code
	}
	if len(rest) == 0 {
		return t.Misused(fs, "wants at least one task")
	}
	refs, err := parseRefs(rest)
	if err != nil {
		return ended(ctx, t, "wait", err)
	}
	c, err := connection.connect(t)
	if err == nil {
		defer c.close()
		err = c.credentials.forUpstreams(upstreamsOf(refs))
	}
	if err != nil {
		return ended(ctx, t, "wait", err)
	}
	w := &waiting{client: c, Terminal: t, refs: refs, asJSON: *asJSON, quiet: *quiet, timeout: timeout}
	return w.run(ctx)
}

// parseTimeout reads a duration, or a number of seconds as timeout(1) does.
func parseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 {
		return 0, errors.New("want a duration such as 90s, or seconds")
	}
	return d, nil
}

// waiting waits for tasks, and is the only one to write while it does.
type waiting struct {
	*client
	*console.Terminal
	refs          []taskRef
	asJSON, quiet bool
	timeout       time.Duration // 0: none

	shown int // documents so far
}

// news is what became known of one of the tasks.
type news struct {
	i        int // of the task
	document *document
	answer   *answer
	err      error
	over     bool // the last about this task
}

// run returns the exit code once all tasks are over.
func (w *waiting) run(ctx context.Context) int {
	waitCtx := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeoutCause(ctx, w.timeout, errGaveUp)
		defer cancel()
	}
	heard := make(chan news)
	var running sync.WaitGroup
	defer running.Wait()
	for i, ref := range w.refs {
		running.Go(func() { w.waitFor(waitCtx, ref, func(n news) { n.i = i; heard <- n }) })
	}
	line := newProgressLine(w.Stderr, w.refs)
	defer line.clear()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var codes []int
	for len(codes) < len(w.refs) {
		select {
		case n := <-heard:
			if !n.over {
				line.set(n.i, n.document)
				break
			}
			line.clear()
			codes = append(codes, w.over(ctx, n))
			line.done(n.i)
		case <-tick.C:
		}
		line.draw()
	}
	return worst(codes)
}

// over shows how one task ended, and returns the exit code for it.
func (w *waiting) over(ctx context.Context, n news) int {
	ref := w.refs[n.i]
	if n.err != nil {
		if errors.Is(n.err, errGaveUp) {
			fmt.Fprintf(w.Stderr, "pollux wait: %s: gave up after %s%s\n", ref.label, w.timeout, lastKnown(n.document))
			return exitGaveUp
		}
		return ended(ctx, w.Terminal, "wait", fmt.Errorf("%s: %w", ref.label, n.err))
	}
	if !w.quiet {
		if w.shown++; w.shown > 1 && !w.asJSON {
			fmt.Fprintln(w.Stdout)
		}
		if err := n.document.write(w.Terminal, ref, n.answer, w.asJSON); err != nil {
			return ended(ctx, w.Terminal, "wait", err)
		}
	}
	if code, known := exitCodes[n.document.Status]; known {
		return code
	}
	return ended(ctx, w.Terminal, "wait", fmt.Errorf("%s: ended with the status %s, which this version does not know", ref.label, n.document.Status))
}

// lastKnown says in what state a task was left.
func lastKnown(d *document) string {
	if d == nil {
		return ", without an answer"
	}
	return ": the task is " + console.CleanLine(string(d.Status))
}

// badFirst orders exit codes: what keeps us from knowing, then how bad it is.
var badFirst = []int{
	exitInterrupted, console.ExitUsage, exitUnavailable, exitOutput, exitGaveUp,
	exitTaskFailed, exitTaskTimedOut, exitTaskCancelled, exitTaskIncomplete, exitTaskWaits, console.ExitOK,
}

func worst(codes []int) int {
	return slices.MinFunc(codes, func(a, b int) int { return slices.Index(badFirst, a) - slices.Index(badFirst, b) })
}

// waitFor tells what becomes known of a task until it is over. Pollux is asked
// to answer when there is something to tell; where it does not know how, it is
// polled as seldom as it asks for.
func (c *client) waitFor(ctx context.Context, ref taskRef, tell func(news)) {
	r := taskRequest(ref)
	var known *document
	var heard time.Time // the last good answer
	for {
		asked := time.Now()
		a, err := c.ask(ctx, r)
		if err == nil && a.code == http.StatusOK {
			var d *document
			if d, err = parseDocument(a.body); err == nil {
				known = d
				r.header.Set("If-None-Match", a.header.Get("ETag"))
				if d.over() {
					tell(news{document: d, answer: a, over: true})
					return
				}
				tell(news{document: d})
			}
		}
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			tell(news{document: known, err: context.Cause(ctx), over: true})
			return
		case err == nil:
			heard, pause = time.Now(), pauseAfter(a, r.wait > 0, time.Since(asked))
		case r.wait == 0 && denied(err): // by one poll, which may be a hiccup: a wait tells
		case heard.IsZero() || !passing(err) || time.Since(heard) > patience:
			tell(news{document: known, err: err, over: true})
			return
		default:
			pause = pauseAfterError(err)
		}
		r.wait = waitOnce
		if deadline, ok := ctx.Deadline(); ok {
			r.wait = min(r.wait, max(time.Second, time.Until(deadline).Round(time.Second)))
		}
		r.header.Set("Prefer", "wait="+strconv.Itoa(int(r.wait/time.Second)))
		sleep(ctx, pause)
	}
}

// pauseAfter is how long to leave Pollux alone after an answer that took so long.
func pauseAfter(a *answer, waited bool, took time.Duration) time.Duration {
	switch {
	case !waited: // it was only asked what is known so far
		return 0
	case strings.Contains(a.header.Get("Preference-Applied"), "wait"):
		return max(0, waitPace-took)
	case retryAfter(a.header) > 0:
		return min(time.Duration(retryAfter(a.header))*time.Second, patience)
	}
	return pollPace
}

func pauseAfterError(err error) time.Duration {
	if p, ok := errors.AsType[*problem](err); ok && p.RetryAfter > 0 {
		return time.Duration(min(p.RetryAfter, int64(patience/time.Second))) * time.Second
	}
	return pollPace
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
