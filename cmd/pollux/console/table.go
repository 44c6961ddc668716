package console

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Table is rows in columns, which fit a width: columns that matter less are
// left out, then others are cut.
type Table struct {
	Columns []Column
	Rows    [][]Cell
}

// Column is one column of a table.
type Column struct {
	Head  string
	Right bool // for numbers
	// Least is how narrow the column may be cut; 0 cuts it never.
	Least int
	// Drop is when the column is left out, the highest first; 0 keeps it. One
	// that is empty in every row is always left out.
	Drop int
}

// Cell is one text of a table, without line breaks and colours.
type Cell struct {
	Text  string
	Style Style
}

// gap is what stands between two columns.
const gap = "  "

// Lines is the table with its heads, in lines of at most width columns; 0
// limits nothing.
func (t *Terminal) Lines(table *Table, width int) []string {
	widths := table.fit(width)
	head := make([]Cell, len(table.Columns))
	for i, c := range table.Columns {
		head[i] = Cell{c.Head, Strong}
	}
	lines := []string{t.row(table, head, widths)}
	for _, row := range table.Rows {
		lines = append(lines, t.row(table, row, widths))
	}
	return lines
}

// row is one line; columns of width 0 are left out.
func (t *Terminal) row(table *Table, row []Cell, widths []int) string {
	var b strings.Builder
	owed := 0 // blanks before the next text, so that no line ends with some
	for i, cell := range row {
		if widths[i] == 0 {
			continue
		}
		text := Clip(cell.Text, widths[i])
		before, behind := 0, widths[i]-ansi.StringWidth(text)
		if table.Columns[i].Right {
			before, behind = behind, 0
		}
		if owed += before; text != "" {
			b.WriteString(strings.Repeat(" ", owed) + t.Paint(cell.Style, text))
			owed = 0
		}
		owed += behind + len(gap)
	}
	return b.String()
}

// fit is how wide each column is within width, 0 for those left out.
func (table *Table) fit(width int) []int {
	widths := table.natural()
	if width <= 0 {
		return widths
	}
	least := make([]int, len(widths))
	for i, w := range widths {
		least[i] = w
		if c := table.Columns[i]; c.Least > 0 {
			least[i] = min(w, c.Least)
		}
	}
	for total(least) > width {
		i := table.droppable(least)
		if i < 0 {
			break
		}
		least[i], widths[i] = 0, 0
	}
	// What is left goes to those that were cut, the first first.
	free := max(0, width-total(least))
	for i := range least {
		more := min(free, widths[i]-least[i])
		least[i] += more
		free -= more
	}
	return cut(least, width)
}

// natural is the width of the widest text of each column, 0 where all is empty.
func (table *Table) natural() []int {
	widths := make([]int, len(table.Columns))
	for _, row := range table.Rows {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell.Text))
		}
	}
	for i, c := range table.Columns {
		if widths[i] > 0 || len(table.Rows) == 0 {
			widths[i] = max(widths[i], ansi.StringWidth(c.Head))
		}
	}
	return widths
}

// droppable is the column that matters least of those still shown, or -1.
func (table *Table) droppable(widths []int) int {
	last := -1
	for i, c := range table.Columns {
		if widths[i] > 0 && c.Drop > 0 && (last < 0 || c.Drop > table.Columns[last].Drop) {
			last = i
		}
	}
	return last
}

// cut makes the last columns narrower where even the least is too much.
func cut(widths []int, width int) []int {
	for i := len(widths) - 1; i >= 0; i-- {
		if over := total(widths) - width; over > 0 {
			widths[i] = max(0, widths[i]-over)
		}
	}
	return widths
}

// total is the width of a line.
func total(widths []int) (sum int) {
	shown := 0
	for _, w := range widths {
		if w > 0 {
			sum += w
			shown++
		}
	}
	return sum + max(0, shown-1)*len(gap)
}
