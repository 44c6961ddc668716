package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pollux/cmd/pollux/console"
	"pollux/normalize"
)

// columns is a row of the screen: texts with their widths.
type columns []struct {
	text  string
	width int // negative: to the right
}

func (c columns) String() string {
	var b strings.Builder
	for i, column := range c {
		if i > 0 {
			b.WriteString("  ")
		}
		if column.width < 0 {
			text := console.Clip(column.text, -column.width)
			b.WriteString(strings.Repeat(" ", -column.width-len([]rune(text))) + text)
		} else {
			b.WriteString(console.Pad(column.text, column.width))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

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
func ByStatus(tasks map[string]int) string {
	var parts []string
	for _, s := range normalize.Statuses {
		if n := tasks[string(s)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// saved is the share of polls that cost no upstream poll.
func (o *overview) saved() string {
	if o.Fleet.Polls.Received == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(o.Fleet.Polls.Saved.Total)/float64(o.Fleet.Polls.Received))
}

// troubled names the upstreams that are not asked as usual.
func (o *overview) troubled() []string {
	var out []string
	for i := range o.Upstreams {
		if state := o.Upstreams[i].state(); state != "closed" {
			out = append(out, console.CleanLine(o.Upstreams[i].Name)+" "+state)
		}
	}
	return out
}

// state is the breaker's state, or the pause that the upstream asked for.
func (u *upstreamRow) state() string {
	switch {
	case u.Breaker != "closed" && u.RetryIn != nil:
		return fmt.Sprintf("%s %.0fs", console.CleanLine(u.Breaker), *u.RetryIn)
	case u.Breaker != "closed":
		return console.CleanLine(u.Breaker)
	case u.Paused != nil && *u.Paused > 0:
		return fmt.Sprintf("paused %.0fs", *u.Paused)
	}
	return "closed"
}

// screen is the look as lines for a terminal; err is why it is an old one.
func (o *overview) screen(width, height int, err error) []string {
	lines := []string{
		fmt.Sprintf("pollux  %s  %d tasks, %d stuck  q ends", o.at.Format(time.TimeOnly), o.Fleet.Tasks.Total, o.Fleet.Tasks.Stuck),
		"tasks   " + ByStatus(o.Fleet.Tasks.ByStatus),
		fmt.Sprintf("polls   received %d, upstream %d, saved %s, rate limits avoided %d",
			o.Fleet.Polls.Received, o.Fleet.Polls.Upstream, o.saved(), o.Fleet.Polls.RateLimitsAvoided),
	}
	if err != nil {
		lines = append(lines, "        "+console.CleanLine(err.Error()))
	}
	lines = append(lines, "")
	lines = append(lines, o.upstreamLines()...)
	lines = append(lines, "")
	lines = append(lines, o.slowestLines(width)...)
	lines = lines[:min(len(lines), height)]
	for i := range lines {
		lines[i] = console.Clip(lines[i], width)
	}
	return lines
}

func (o *overview) upstreamLines() []string {
	// What matters most comes first: a terminal of 80 columns cuts off the rest.
	lines := []string{columns{{"UPSTREAM", 12}, {"STATE", 11}, {"RUNNING", -7}, {"POLLS", -8}, {"ASKED", -7}, {"ERRORS", -7},
		{"P50", -6}, {"P99", -6}, {"BUDGET", -9}, {"TASKS P50/P95", -13}, {"LAST ERROR", 30}}.String()}
	for i := range o.Upstreams {
		u := &o.Upstreams[i]
		d := o.Fleet.Durations[u.Name]
		budget := "-"
		if u.Budget != nil {
			budget = fmt.Sprintf("%.0f/%.0f", u.Budget.Left, u.Budget.Limit)
		}
		lines = append(lines, columns{
			{console.CleanLine(u.Name), 12}, {u.state(), 11}, {count(int64(o.running(u.Name))), -7},
			{count(u.Polls.Received), -8}, {count(u.Polls.Upstream), -7}, {fmt.Sprintf("%.1f %%", 100*u.ErrorRatio), -7},
			{seconds(u.Latency.P50), -6}, {seconds(u.Latency.P99), -6}, {budget, -9},
			{seconds(d.P50) + "/" + seconds(d.P95), -13}, {u.lastError(o.at), 30},
		}.String())
	}
	return lines
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

func (u *upstreamRow) lastError(now time.Time) string {
	if u.LastError == nil {
		return ""
	}
	text := console.CleanLine(u.LastError.Type)
	if u.LastError.Status != nil {
		text += fmt.Sprintf(" %d", *u.LastError.Status)
	}
	return text + ", " + console.Since(&u.LastError.At, now) + " ago"
}

// count is a number in at most six characters, so that no digit is cut off.
func count(n int64) string {
	switch {
	case n < 1e6:
		return strconv.FormatInt(n, 10)
	case n < 1e9:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1fG", float64(n)/1e9)
}

// seconds is a short time: 8ms, 1.2s, 4m; "-" if nobody knows.
func seconds(s *float64) string {
	switch {
	case s == nil:
		return "-"
	case *s < 1:
		return fmt.Sprintf("%.0fms", *s*1000)
	case *s < 60:
		return fmt.Sprintf("%.1fs", *s)
	}
	return console.Brief(time.Duration(*s * float64(time.Second)))
}

// slowestLines are the tasks that have been under way longest.
func (o *overview) slowestLines(width int) []string {
	// What the other columns and the gaps between them leave.
	ref := max(20, width-16-9-16-8-4*2)
	lines := []string{columns{{"SLOWEST TASKS", ref}, {"STATUS", 16}, {"RUNS FOR", -9}, {"MODEL", 16}, {"", 8}}.String()}
	for _, row := range o.Slowest {
		lines = append(lines, columns{{console.CleanLine(row.Ref), ref}, {console.CleanLine(string(row.Status)), 16},
			{console.Since(row.start(), o.at), -9}, {textOf(row.Model), 16}, {row.note(), 8}}.String())
	}
	return lines
}
