package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
)

func watchCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("watch", `Shows every change of a task, a line each, until it has ended.
`+clientHelp,
		"pollux watch shannon/task_1",
		"pollux watch --json orq/my-agent/01K6 | jq .progress")
	connection := addConnectionFlags(fs).addCredentialFlags(fs)
	asJSON := fs.Bool("json", false, "print each task document, one a line")
	rest, code, done := t.Parse(fs, args, 1)
	if done {
		return code
	}
	return connection.run(ctx, t, "watch", func(c *client) error {
		ref, err := parseRef(rest[0])
		if err != nil {
			return err
		}
		w := &taskWatch{Terminal: t, asJSON: *asJSON}
		s := &stream{client: c, request: taskRequest(ref), handle: w.show, over: func() bool { return w.terminal }}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", ref.label, err)
		}
		return nil
	})
}

// taskWatch shows the events of one task.
type taskWatch struct {
	*console.Terminal
	asJSON   bool
	terminal bool   // the task has ended
	last     string // line
}

func (w *taskWatch) show(ev event) error {
	switch ev.name {
	case "message":
	case "problem":
		return parseProblem(ev.data)
	default:
		return nil
	}
	d, err := parseDocument(ev.data)
	if err != nil {
		return err
	}
	w.terminal = d.Terminal
	if w.asJSON {
		return writeJSONLine(w.Stdout, ev.data)
	}
	line := d.line(w.Terminal)
	if line == w.last { // what changed is not on it
		return nil
	}
	w.last = line
	return writeLine(w.Stdout, fitted(w.Terminal, line))
}

// line is the document in one line.
func (d *document) line(t *console.Terminal) string {
	line := fmt.Sprintf("%-20s  %s", secondText(d.UpdatedAt), t.Paint(statusStyle(d.Status), console.Pad(console.CleanLine(string(d.Status)), 15)))
	for _, more := range []string{d.progress(), d.failure(), d.usage()} {
		if more != "" {
			line += "  " + more
		}
	}
	return strings.TrimRight(line, " ")
}

// secondText is a time without its fraction, for lines that follow each other.
func secondText(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// fitted is a line within the width of a terminal.
func fitted(t *console.Terminal, line string) string {
	if width := t.Width(); width > 0 {
		return console.Clip(line, width)
	}
	return line
}

func writeLines(w io.Writer, lines []string) error { return writeLine(w, strings.Join(lines, "\n")) }

func writeLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return outputError{err}
	}
	return nil
}

// writeJSONLine writes JSON on one line, every digit kept.
func writeJSONLine(w io.Writer, text []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return errNoDocument
	}
	return writeLine(w, compact.String())
}
