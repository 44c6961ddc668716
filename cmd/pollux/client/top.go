package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"pollux/cmd/pollux/console"
)

// slowestShown is how many tasks are asked for: as many as a tall terminal shows.
const slowestShown = 100

func topCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("top", `Shows the fleet live: how many tasks are in which status, how the upstreams do,
and the tasks that have been under way longest. q ends it. What is no terminal
gets a line each time. Wants the scope fleet.
`+topHelp,
		"pollux top",
		"pollux top --once  # the whole of it, once",
		"pollux top --json --every 1m >> fleet.jsonl")
	connection := addConnectionFlags(fs)
	every := fs.Duration("every", 2*time.Second, "the `time` between two looks")
	once := fs.Bool("once", false, "look once, and end")
	asJSON := fs.Bool("json", false, "print what Pollux answers, as one JSON object a line")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	if *every < 100*time.Millisecond {
		return t.Misused(fs, "--every is at least 100ms")
	}
	c, err := connection.connect(t)
	if err != nil {
		return ended(ctx, t, "top", err)
	}
	defer c.close()
	// With an upstream's credential only its own tasks would be seen.
	c.credentials = credentials{}
	top := &top{client: c, Terminal: t, every: *every, once: *once}
	switch {
	case *asJSON:
		return ended(ctx, t, "top", top.lines(ctx, (*overview).json))
	case *once || !console.IsTerminal(t.Stdout):
		return ended(ctx, t, "top", top.lines(ctx, (*overview).line))
	}
	return ended(ctx, t, "top", top.live(ctx))
}

// top looks at the fleet again and again.
type top struct {
	*client
	*console.Terminal
	every time.Duration
	once  bool
}

// overview is one look at the fleet.
type overview struct {
	Fleet     fleetState         `json:"-"`
	Upstreams []upstreamRow      `json:"-"`
	Slowest   []taskRow          `json:"-"`
	at        time.Time          // of the look
	received  [3]json.RawMessage // what Pollux answered, in the same order
}

// fleetState is the part of /v1/fleet that is shown.
type fleetState struct {
	Object string `json:"object"`
	Tasks  struct {
		Total    int            `json:"total"`
		Stuck    int            `json:"stuck"`
		ByStatus map[string]int `json:"by_status"`
		// ByUpstream counts by upstream, then by status.
		ByUpstream map[string]map[string]int `json:"by_upstream"`
	} `json:"tasks"`
	Polls struct {
		Received int64 `json:"received"`
		Upstream int64 `json:"upstream"`
		Saved    struct {
			Total int64 `json:"total"`
		} `json:"saved"`
		RateLimitsAvoided int64 `json:"rate_limits_avoided"`
	} `json:"polls"`
	Durations map[string]struct {
		P50 *float64 `json:"p50_seconds"`
		P95 *float64 `json:"p95_seconds"`
	} `json:"durations"`
}

// upstreamRow is the part of an element of /v1/upstreams that is shown.
type upstreamRow struct {
	Name    string   `json:"name"`
	Breaker string   `json:"breaker"`
	RetryIn *float64 `json:"retry_in_seconds"`
	Paused  *float64 `json:"paused_for_seconds"`
	Budget  *struct {
		Limit float64 `json:"limit"`
		Left  float64 `json:"left"`
	} `json:"budget"`
	Latency struct {
		P50 *float64 `json:"p50_seconds"`
		P99 *float64 `json:"p99_seconds"`
	} `json:"latency"`
	ErrorRatio float64 `json:"error_ratio"`
	LastError  *struct {
		At     time.Time `json:"at"`
		Type   string    `json:"type"`
		Status *int      `json:"status"`
	} `json:"last_error"`
	Polls struct {
		Received int64 `json:"received"`
		Upstream int64 `json:"upstream"`
	} `json:"polls"`
}

var errNoFleet = errors.New("the answer is no fleet: is this a Pollux?")

// look asks for everything that is shown, all at once.
func (c *client) look(ctx context.Context) (*overview, error) {
	o := &overview{at: time.Now()}
	var upstreams struct {
		Object string        `json:"object"`
		Data   []upstreamRow `json:"data"`
	}
	var tasks taskList
	requests := [...]request{
		{path: "/v1/fleet"},
		{path: "/v1/upstreams"},
		{path: pathTasks, query: fmt.Sprintf("terminal=false&sort=created_at&limit=%d", slowestShown)},
	}
	into := [...]any{&o.Fleet, &upstreams, &tasks}
	var failures [len(requests)]error
	var asking sync.WaitGroup
	for i, r := range requests {
		asking.Go(func() {
			a, err := c.ask(ctx, r)
			if err == nil && (a.code != http.StatusOK || json.Unmarshal(a.body, into[i]) != nil) {
				err = errNoFleet
			}
			if err == nil {
				o.received[i] = a.body
			}
			failures[i] = err
		})
	}
	asking.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	if o.Fleet.Object != "fleet" || upstreams.Object != "list" || tasks.Object != "list" {
		return nil, errNoFleet
	}
	o.Upstreams, o.Slowest = upstreams.Data, tasks.Data
	return o, nil
}

// json is everything that was answered, on one line.
func (o *overview) json() string {
	text, err := json.Marshal(struct {
		Fleet     json.RawMessage `json:"fleet"`
		Upstreams json.RawMessage `json:"upstreams"`
		Tasks     json.RawMessage `json:"tasks"`
	}{o.received[0], o.received[1], o.received[2]})
	if err != nil {
		panic("BUG: answers that were read are no JSON: " + err.Error())
	}
	return string(text)
}

// lines writes one line per look.
func (t *top) lines(ctx context.Context, line func(*overview) string) error {
	for heard := (time.Time{}); ; {
		o, err := t.look(ctx)
		switch {
		case err != nil && (t.once || heard.IsZero() || !passing(err)):
			return err
		case err != nil:
			fmt.Fprintf(t.Stderr, "pollux top: %s\n", console.CleanLine(err.Error()))
		default:
			heard = o.at
			if err := writeLine(t.Stdout, line(o)); err != nil || t.once {
				return err
			}
		}
		if sleep(ctx, t.every); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// live draws the whole terminal until q is typed or ctx ends, and leaves the
// terminal as it was.
func (t *top) live(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	restore, err := t.readKeys(cancel)
	if err != nil {
		return err
	}
	defer restore()
	io.WriteString(t.Stdout, "\x1b[?1049h\x1b[?25l")       // other screen, no cursor
	defer io.WriteString(t.Stdout, "\x1b[?25h\x1b[?1049l") // and back
	for last := (*overview)(nil); ctx.Err() == nil; sleep(ctx, t.every) {
		o, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil && (last == nil || !passing(err)):
			return err
		case err == nil:
			last = o
		}
		width, height := console.Size(t.Stdout)
		if err := t.draw(last.screen(width, height, err)); err != nil {
			return err
		}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errQuit) {
		return cause
	}
	return nil
}

// draw replaces what is on the screen without letting it flicker.
func (t *top) draw(lines []string) error {
	text := "\x1b[H"
	for i, line := range lines {
		if i > 0 {
			text += "\r\n" // raw mode adds no carriage return
		}
		text += line + "\x1b[K"
	}
	if _, err := io.WriteString(t.Stdout, text+"\x1b[J"); err != nil {
		return outputError{err}
	}
	return nil
}

// errQuit and errInterrupted are q and Ctrl-C, which in raw mode is a key and
// raises no signal.
var (
	errQuit        = errors.New("quit")
	errInterrupted = errors.New("interrupted")
)

// readKeys calls stop when a key says to end. The standard input is in raw mode
// until restore is called; where it is no terminal, no key comes.
func (t *top) readKeys(stop context.CancelCauseFunc) (restore func(), err error) {
	file, ok := t.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	// A read of a terminal cannot be called off: this ends with the key that
	// ends the view, or else with the process.
	go func() {
		var key [1]byte
		for {
			if n, err := file.Read(key[:]); n == 0 || err != nil {
				return
			}
			switch key[0] {
			case 'q', 'Q':
				stop(errQuit)
				return
			case 0x03:
				stop(errInterrupted)
				return
			}
		}
	}()
	return func() { _ = term.Restore(int(file.Fd()), before) }, nil
}
