package main

import (
	"fmt"
	"slices"
	"time"

	"pollux/cmd/pollux/client"
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
	name                                                        string
	polls, hits, collapsed, stale, asked, notModified, problems int64
	upstreamPolls                                               int64
}

// picture is the present moment.
func (f *fleet) picture(clients int) picture {
	p := picture{base: f.base, clients: clients, elapsed: time.Since(f.started), statuses: map[string]int{}}
	asked := f.sandbox.Stats().Upstreams
	for _, u := range f.upstreams {
		c := f.seen[u.Name]
		p.upstreams = append(p.upstreams, upstreamPicture{
			name: u.Name, polls: c.polls.Load(), hits: c.hits.Load(), collapsed: c.collapsed.Load(), stale: c.stale.Load(),
			asked: c.asked.Load(), notModified: c.notModified.Load(), problems: c.problems.Load(),
			upstreamPolls: asked[u.Provider.Name].Polls,
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
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

// lines is the picture for a terminal.
func (p *picture) lines() []string {
	t := p.total()
	seconds := max(1, p.elapsed.Seconds())
	trouble := "all upstreams are well"
	if p.trouble != "" {
		trouble = p.trouble + " answers 503"
	}
	lines := []string{
		fmt.Sprintf("%d clients for %s: %.0f polls/s in, %.1f polls/s to upstreams, %.1f %% saved; %s",
			p.clients, p.elapsed.Truncate(time.Second), float64(t.polls)/seconds, float64(t.upstreamPolls)/seconds, t.saved(), trouble),
		"",
		fmt.Sprintf("%-14s %9s %9s %7s %9s %9s %7s %9s %9s", "upstream", "polls", "asked", "saved", "hit", "collapsed", "stale", "problems", "of it 304"),
	}
	for _, u := range append(slices.Clone(p.upstreams), t) {
		lines = append(lines, fmt.Sprintf("%-14s %9d %9d %5.1f %% %9d %9d %7d %9d %9d",
			u.name, u.polls, u.upstreamPolls, u.saved(), u.hits, u.collapsed, u.stale, u.problems, u.notModified))
	}
	return append(lines, "", "tasks: "+client.ByStatus(p.statuses), "Ctrl-C ends the demo.")
}
