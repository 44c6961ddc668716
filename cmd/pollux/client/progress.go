package client

import (
	"fmt"
	"io"
	"time"

	"pollux/cmd/pollux/console"
)

// progressLine shows on one line of a terminal what is waited for. Elsewhere it
// shows nothing. It is for one goroutine.
type progressLine struct {
	w       io.Writer
	live    bool
	drawn   bool
	started time.Time
	refs    []taskRef
	waiting map[int]*document // nil before there is one
	latest  int               // the task that changed last
}

func newProgressLine(w io.Writer, refs []taskRef) *progressLine {
	p := &progressLine{w: w, live: console.IsTerminal(w), started: time.Now(), refs: refs, waiting: map[int]*document{}}
	for i := range refs {
		p.waiting[i] = nil
	}
	return p
}

func (p *progressLine) set(i int, d *document) { p.waiting[i], p.latest = d, i }

func (p *progressLine) done(i int) { delete(p.waiting, i) }

// clear takes the line away, so that something else can be written.
func (p *progressLine) clear() {
	if p.drawn {
		io.WriteString(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progressLine) draw() {
	if !p.live || len(p.waiting) == 0 {
		return
	}
	width, _ := console.Size(p.w)
	// The last column stays free: some terminals begin a new line after it.
	fmt.Fprintf(p.w, "\r\x1b[K%s", console.Clip(p.text(time.Since(p.started)), width-1))
	p.drawn = true
}

// text is the line after so much time.
func (p *progressLine) text(elapsed time.Duration) string {
	text := console.Brief(elapsed)
	if len(p.refs) > 1 {
		text += fmt.Sprintf("  %d of %d over", len(p.refs)-len(p.waiting), len(p.refs))
	}
	i := p.latest
	if _, ok := p.waiting[i]; !ok {
		for i = range p.waiting {
			break
		}
	}
	text += "  " + p.refs[i].label
	d := p.waiting[i]
	if d == nil {
		return text + "  no answer yet"
	}
	text += "  " + console.CleanLine(string(d.Status))
	if progress := d.progress(); progress != "" {
		text += "  " + progress
	}
	return text
}
