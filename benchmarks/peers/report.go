package main

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// table is what one scenario came to, and the plot of its main figure, of which
// less is better.
type table struct {
	title, text string
	columns     []string
	rows        [][]string
	unit        string // of the bars
	bars        []bar
}

type bar struct {
	name  string
	value float64
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) bar(name string, value float64) { t.bars = append(t.bars, bar{name, value}) }

// markdown is the table as it stands in the report.
func (t *table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.columns)
	b.WriteString("|" + strings.Repeat("---|", len(t.columns)) + "\n")
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}

// svg is the plot. Its colours can be read on light and dark pages.
func (t *table) svg() string {
	const left, width, row = 190, 420, 28
	most := 0.0
	for _, b := range t.bars {
		most = max(most, b.value)
	}
	height := row*len(t.bars) + 34
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#767676">`+"\n", left+width+90, height)
	fmt.Fprintf(&s, `<text x="%d" y="18">%s; less is better</text>`+"\n", left, html.EscapeString(t.unit))
	for i, b := range t.bars {
		y, colour := 30+row*i, "#9a9a9a"
		if b.name == pollux.name {
			colour = "#2f7ed8"
		}
		long := max(1, b.value/max(most, 1e-9)*width)
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/><text x="%.1f" y="%d">%.4g</text>`+"\n",
			left-8, y+14, html.EscapeString(b.name), left, y, long, colour, left+long+6, y+14, b.value)
	}
	return s.String() + "</svg>\n"
}

// losses is a line for every peer that does better in the plotted figure. What is
// the floor of a scenario answers whatever is asked.
func (t *table) losses() (lines []string) {
	own := 0.0
	for _, b := range t.bars {
		if b.name == pollux.name {
			own = b.value
		}
	}
	for _, b := range t.bars {
		if own > 0 && b.value < own*0.97 && !strings.HasPrefix(b.name, pollux.name) {
			lines = append(lines, fmt.Sprintf("- %s, %s: Pollux %.4g, %s %.4g (%.2f ×)", t.title, t.unit, own, b.name, b.value, own/max(b.value, 1e-9)))
		}
	}
	return lines
}

// write puts the report and its plots into dir.
func (b *bench) write(dir, command string) error {
	var r, lost strings.Builder
	fmt.Fprintf(&r, `# Pollux beside others

Written by `+"`%s`"+`; a run writes this page anew.

%s. Pollux %s, %s, %s, %s. %s

Each server is a process of its own, on the same cores as the clients and the upstream, and they take turns. CPU is the
processes' own accounting (/proc/PID/stat, kernel time included), which neighbours disturb little; latencies and
throughput depend on what else runs, so trust ratios. nginx and Varnish are configured for this job: the credential is
part of the key, clients that ask at once are merged, answers are good for as long as Pollux keeps them. They cannot know
which answers are final. Trickster is not here: the Go module proxy answers 403 for it.
`, command, time.Now().UTC().Format("2006-01-02"), output("git", "describe", "--tags", "--always", "--dirty"), first(output("/usr/sbin/nginx", "-v")),
		first(output("/usr/sbin/varnishd", "-V")), runtime.Version(), machine())
	for i := range b.tables {
		t := &b.tables[i]
		name := fmt.Sprintf("peers-%d.svg", i+1)
		if err := os.WriteFile(filepath.Join(dir, "plots", name), []byte(t.svg()), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&r, "\n## %s\n\n%s\n\n%s\n![%s](plots/%s)\n", t.title, t.text, t.markdown(), t.unit, name)
		for _, line := range t.losses() {
			lost.WriteString(line + "\n")
		}
	}
	fmt.Fprintf(&r, "\n## Where Pollux loses\n\n%s", lost.String())
	return os.WriteFile(filepath.Join(dir, "PEERS.md"), []byte(r.String()), 0o644)
}

// output is what a command says, on either stream.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return name + " (unknown version)"
	}
	return strings.TrimSpace(string(out))
}

func first(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimPrefix(line, "nginx version: ")
}

// machine names the processor and how busy it is.
func machine() string {
	name := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(text) {
			if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	busy := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ := strings.Cut(string(text), " ")
		busy = fmt.Sprintf(", shared with other work (load %s at the end)", load)
	}
	return fmt.Sprintf("%d cores of %s%s.", runtime.NumCPU(), name, busy)
}
