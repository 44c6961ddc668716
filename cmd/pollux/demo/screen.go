package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
)

// screen is where the picture is shown: in place on a terminal, one line after
// the other elsewhere.
type screen struct {
	*console.Terminal
	live  bool
	drawn int // lines of the last picture
}

func newScreen(t *console.Terminal) *screen {
	return &screen{Terminal: t, live: console.IsTerminal(t.Stdout)}
}

// interval is how often there is something new to see.
func (s *screen) interval() time.Duration {
	if s.live {
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

func (s *screen) show(p picture) {
	if !s.live {
		fmt.Fprintln(s.Stdout, p.line())
		return
	}
	width, height := console.Size(s.Stdout)
	lines := p.lines(s.Terminal, width, height-1) // the last line is the cursor's
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn) // back to its first line
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K") // what was there may be longer
		b.WriteString(line)
		b.WriteByte('\n')
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	io.WriteString(s.Stdout, b.String())
}
