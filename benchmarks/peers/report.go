package main

import (
	"fmt"
	"strings"
)

// table is what one scenario came to, and the plot of its main figure.
type table struct {
	title, text string
	columns     []string
	rows        [][]string
	unit        string
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
