package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"pollux/cmd/pollux/console"
)

func topCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("top", `Shows the fleet live: how many tasks are in which status, how the upstreams do,
those in trouble first, what failed lately and why, and the tasks that have been
under way longest. q ends it. What is no terminal gets a line each time.
Where Pollux wants a key, one without the scope fleet sees its part.
`+fleetHelp,
		"pollux top",
		"pollux top --once  # the whole of it, once",
		"pollux top --json --every 1m >> fleet.jsonl")
	connection := addConnectionFlags(fs)
	every := fs.Duration("every", 2*time.Second, "the `time` between two looks")
	once := fs.Bool("once", false, "print the whole of it once, and end")
	asJSON := fs.Bool("json", false, "print what Pollux answers, as one JSON object a line")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	if *every < 100*time.Millisecond {
		return t.Misused(fs, "--every is at least 100ms")
	}
	return connection.run(ctx, t, "top", func(c *client) error {
		top := &top{client: c, Terminal: t, every: *every, once: *once}
		switch {
		case *asJSON:
			return top.lines(ctx, (*overview).json)
		case *once:
			return top.all(ctx)
		case !console.IsTerminal(t.Stdout):
			return top.lines(ctx, (*overview).line)
		}
		return top.live(ctx)
	})
}

// top looks at the fleet again and again.
type top struct {
	*client
	*console.Terminal
	every time.Duration
	once  bool
}

// all prints everything, once.
func (t *top) all(ctx context.Context) error {
	o, err := t.look(ctx)
	if err != nil {
		return err
	}
	return writeLines(t.Stdout, o.screen(t.Terminal, t.Width(), 0, nil))
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
		if err := t.draw(last.screen(t.Terminal, width, height, err)); err != nil {
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
