package client

import (
	"fmt"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

// line is the look in one line, for a log.
func (o *overview) line() string {
	line := fmt.Sprintf("%s  tasks %d (%s), stuck %d; polls received %d, upstream %d, saved %s",
		o.at.UTC().Format(time.RFC3339), o.Fleet.Tasks.Total, ByStatus(o.Fleet.Tasks.ByStatus), o.Fleet.Tasks.Stuck,
		o.Fleet.Polls.Received, o.Fleet.Polls.Upstream, o.saved())
	if troubled := o.troubled(); len(troubled) > 0 {
		line += "; in trouble: " + strings.Join(troubled, ", ")
	}
	return line
}

// ByStatus lists how many tasks are in which status, in the order of a task's
// life.
func ByStatus(tasks map[string]int) string { return strings.Join(byStatus(tasks), ", ") }

func byStatus(tasks map[string]int) (parts []string) {
	for _, s := range normalize.Statuses {
		if n := tasks[string(s)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s, n))
		}
	}
	if len(parts) == 0 {
		return []string{"none"}
	}
	return parts
}

// wrapped is a list behind its name, in lines of at most width columns; 0 limits
// nothing.
func wrapped(name string, parts []string, width int) (lines []string) {
	const indent = 8
	line := fmt.Sprintf("%-*s%s", indent, name, parts[0])
	for _, part := range parts[1:] {
		line += ","
		if width > 0 && len(line)+len(" ,")+len(part) > width {
			lines = append(lines, line)
			line = strings.Repeat(" ", indent) + part
		} else {
			line += " " + part
		}
	}
	return append(lines, line)
}

// saved is the share of polls that cost no upstream poll.
func (o *overview) saved() string {
	if o.Fleet.Polls.Received == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(o.Fleet.Polls.Saved.Total)/float64(o.Fleet.Polls.Received))
}

// troubled names the upstreams in trouble with their states, the worst first.
func (o *overview) troubled() []string {
	var out []string
	for _, u := range troubleFirst(o.Upstreams, o.at) {
		if u.state(o.at) < answering {
			out = append(out, console.CleanLine(u.Name)+" "+u.stateCell(o.at).Text)
		}
	}
	return out
}

// screen is the look as lines of at most width columns, and not more of them
// than height; 0 limits nothing. err is why it is an old one.
func (o *overview) screen(t *console.Terminal, width, height int, err error) []string {
	lines := []string{
		t.Paint(console.Strong, "pollux") + fmt.Sprintf("  %s  %d tasks, %d stuck", o.at.Format(time.TimeOnly), o.Fleet.Tasks.Total, o.Fleet.Tasks.Stuck),
	}
	lines = append(lines, wrapped("tasks", byStatus(o.Fleet.Tasks.ByStatus), width)...)
	lines = append(lines, wrapped("polls", []string{
		fmt.Sprintf("received %d", o.Fleet.Polls.Received), fmt.Sprintf("asked upstreams %d", o.Fleet.Polls.Upstream),
		"saved " + o.saved(), fmt.Sprintf("rate limits avoided %d", o.Fleet.Polls.RateLimitsAvoided)}, width)...)
	if height > 0 {
		lines[0] += t.Paint(console.Faint, "  q ends")
	}
	if err != nil {
		lines = append(lines, t.Paint(console.Caution, "        "+console.CleanLine(err.Error())))
	}
	for _, table := range o.tables(height - len(lines)) {
		lines = append(append(lines, ""), t.Lines(table, width)...)
	}
	if height > 0 {
		lines = lines[:min(len(lines), height)]
	}
	for i := range lines {
		if width > 0 {
			lines[i] = console.Clip(lines[i], width)
		}
	}
	return lines
}

// tables are upstreams, failures and slowest tasks. Where only height lines are
// free, each of the last two keeps a few rows, however many upstreams there are.
func (o *overview) tables(height int) []*console.Table {
	const kept = 4
	upstreams, failures, slowest := o.upstreamTable(), o.failureTable(), o.slowestTable()
	tables := []*console.Table{upstreams}
	if len(failures.Rows) > 0 {
		tables = append(tables, failures)
	}
	tables = append(tables, slowest)
	if height <= 0 {
		return tables
	}
	free := height - 2*len(tables) // a blank line and the heads
	later := 0
	for _, table := range tables[1:] {
		later += min(kept, len(table.Rows))
	}
	for _, table := range tables {
		if table != upstreams {
			later -= min(kept, len(table.Rows))
		}
		table.Rows = table.Rows[:min(len(table.Rows), max(0, free-later))]
		free -= len(table.Rows)
	}
	return tables
}

// upstreamTable is that of the command upstreams, with what the fleet knows of
// their tasks.
func (o *overview) upstreamTable() *console.Table {
	table := &console.Table{Columns: append([]console.Column{}, upstreamColumns...)}
	table.Columns = append(table.Columns, console.Column{Head: "RUNNING", Right: true, Drop: 3}, console.Column{Head: "TASKS P50/P95", Right: true, Drop: 8})
	for _, u := range troubleFirst(o.Upstreams, o.at) {
		d := o.Fleet.Durations[u.Name]
		durations := ""
		if d.P50 != nil || d.P95 != nil {
			durations = seconds(d.P50) + "/" + seconds(d.P95)
		}
		table.Rows = append(table.Rows, append(u.cells(o.at), console.Cell{Text: count(int64(o.running(u.Name)))}, console.Cell{Text: durations}))
	}
	return table
}

// running is how many tasks of an upstream have not ended.
func (o *overview) running(upstream string) (n int) {
	for status, count := range o.Fleet.Tasks.ByUpstream[upstream] {
		if !normalize.Status(status).Terminal() {
			n += count
		}
	}
	return n
}

// failureTable is what failed lately, and why; failures of one kind are one row.
func (o *overview) failureTable() *console.Table {
	table := &console.Table{Columns: []console.Column{
		{Head: "FAILED", Right: true}, {Head: "UPSTREAM", Least: 10}, {Head: "REASON", Least: 16}, {Head: "LATEST", Right: true, Drop: 1}, {Head: "TASK", Least: 20, Drop: 2}}}
	for _, f := range o.Fleet.Failures {
		table.Rows = append(table.Rows, []console.Cell{
			{Text: fmt.Sprint(f.Count), Style: console.Bad}, {Text: console.CleanLine(f.Upstream)},
			{Text: reasonText(f.Code, f.Message)}, {Text: console.Since(&f.Latest, o.at)}, {Text: console.CleanLine(f.Ref), Style: console.Faint}})
	}
	return table
}

// slowestTable is the tasks that have been under way longest.
func (o *overview) slowestTable() *console.Table {
	table := &console.Table{Columns: []console.Column{
		{Head: "SLOWEST TASKS", Least: 20}, {Head: "STATUS"}, {Head: "RUNS FOR", Right: true}, {Head: "NOTE", Drop: 1}, {Head: "MODEL", Drop: 2}}}
	for _, row := range o.Slowest {
		table.Rows = append(table.Rows, []console.Cell{
			{Text: console.CleanLine(row.Ref)}, row.statusCell(), {Text: console.Since(row.start(), o.at)},
			row.note(), {Text: textOf(row.Model), Style: console.Faint}})
	}
	return table
}
