package demo

import (
	"fmt"
	"slices"
	"time"

	"pollux/cmd/pollux/client"
	"pollux/cmd/pollux/console"
)

// picture is one moment of the demo.
type picture struct {
	base      string
	clients   int
	elapsed   time.Duration
	trouble   string // the upstream that fails, "" if none
	upstreams []upstreamPicture
	statuses  map[string]int // tasks by status, as clients see them
}

// upstreamPicture is what one upstream was asked and what its clients were told.
type upstreamPicture struct {
	name string
	counts
	upstreamPolls int64
}

// picture is the present moment.
func (f *Fleet) picture(clients int) picture {
	p := picture{base: f.base, clients: clients, elapsed: time.Since(f.started), statuses: map[string]int{}}
	asked := f.sandbox.Stats().Upstreams
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.upstreams {
		p.upstreams = append(p.upstreams, upstreamPicture{u.Name, *f.seen[u.Name], asked[u.Provider.Name].Polls})
	}
	p.trouble = f.trouble
	for _, t := range slices.Concat(f.tasks[:]...) {
		t.mu.Lock()
		if t.status != "" {
			p.statuses[t.status]++
		}
		t.mu.Unlock()
	}
	return p
}

// total is the sum over all upstreams.
func (p *picture) total() upstreamPicture {
	sum := upstreamPicture{name: "all"}
	for _, u := range p.upstreams {
		sum.polls += u.polls
		sum.hits += u.hits
		sum.collapsed += u.collapsed
		sum.stale += u.stale
		sum.asked += u.asked
		sum.notModified += u.notModified
		sum.problems += u.problems
		sum.upstreamPolls += u.upstreamPolls
	}
	return sum
}

// saved is the share of client polls that cost no upstream poll, in percent.
func (u *upstreamPicture) saved() float64 {
	if u.polls == 0 {
		return 0
	}
	return 100 * (1 - float64(u.upstreamPolls)/float64(u.polls))
}

// line is the picture for a log.
func (p *picture) line() string {
	t := p.total()
	line := fmt.Sprintf("%4.0fs  client polls %d, upstream polls %d, saved %.1f %%: hit %d, collapsed %d, stale %d, asked %d, problems %d (304: %d); tasks: %s",
		p.elapsed.Seconds(), t.polls, t.upstreamPolls, t.saved(), t.hits, t.collapsed, t.stale, t.asked, t.problems, t.notModified, client.ByStatus(p.statuses))
	if p.trouble != "" {
		line += "; failing: " + p.trouble
	}
	return line
}

// lines is the picture for a terminal of that size. Where it is too low for all
// upstreams, those that were polled most are shown.
func (p *picture) lines(t *console.Terminal, width, height int) []string {
	all := p.total()
	seconds := max(1, p.elapsed.Seconds())
	trouble := t.Paint(console.Good, "all upstreams are well")
	if p.trouble != "" {
		trouble = t.Paint(console.Bad, p.trouble+" answers 503")
	}
	upstreams := slices.Clone(p.upstreams)
	if room := max(0, height-7); len(upstreams) > room {
		slices.SortStableFunc(upstreams, func(a, b upstreamPicture) int { return int(b.polls - a.polls) })
		upstreams = upstreams[:room]
	}
	lines := []string{
		fmt.Sprintf("%s; %d clients for %s: %.1f %% saved, %.0f polls/s in, %.1f polls/s to upstreams",
			trouble, p.clients, p.elapsed.Truncate(time.Second), all.saved(), float64(all.polls)/seconds, float64(all.upstreamPolls)/seconds),
		"",
	}
	lines = append(lines, t.Lines(p.table(append(upstreams, all)), width)...)
	if hidden := len(p.upstreams) - len(upstreams); hidden > 0 {
		lines = append(lines, t.Paint(console.Faint, fmt.Sprintf("and %d upstreams more", hidden)))
	} else {
		lines = append(lines, "")
	}
	lines = append(lines, "tasks: "+client.ByStatus(p.statuses), t.Paint(console.Faint, "Ctrl-C ends the demo."))
	for i := range lines {
		lines[i] = console.Clip(lines[i], width)
	}
	return lines
}

func (p *picture) table(rows []upstreamPicture) *console.Table {
	table := &console.Table{Columns: []console.Column{{Head: "UPSTREAM", Least: 12}, {Head: "POLLS", Right: true}, {Head: "ASKED", Right: true}, {Head: "SAVED", Right: true},
		{Head: "HIT", Right: true, Drop: 3}, {Head: "COLLAPSED", Right: true, Drop: 4}, {Head: "STALE", Right: true, Drop: 2}, {Head: "PROBLEMS", Right: true, Drop: 1}, {Head: "OF IT 304", Right: true, Drop: 5}}}
	number := func(n int64) console.Cell { return console.Cell{Text: fmt.Sprint(n)} }
	for _, u := range rows {
		name := console.Cell{Text: u.name}
		if u.name == p.trouble {
			name.Style = console.Bad
		}
		table.Rows = append(table.Rows, []console.Cell{name, number(u.polls), number(u.upstreamPolls), {Text: fmt.Sprintf("%.1f %%", u.saved())},
			number(u.hits), number(u.collapsed), number(u.stale), number(u.problems), number(u.notModified)})
	}
	return table
}
