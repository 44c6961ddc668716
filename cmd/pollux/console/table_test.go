package console

import (
	"fmt"
	"strings"
	"testing"
)

// TestTable: whatever the width, what matters least goes first, and no line is
// wider.
func TestTable(t *testing.T) {
	table := &Table{
		Columns: []Column{{Head: "NAME", Least: 6}, {Head: "N", Right: true}, {Head: "WHY", Least: 5}, {Head: "EMPTY", Drop: 1}, {Head: "EXTRA", Drop: 2}},
		Rows: [][]Cell{
			{{Text: "a long name"}, {Text: "1"}, {Text: ""}, {}, {Text: "x"}},
			{{Text: "日本"}, {Text: "234"}, {Text: "for no reason"}, {}, {Text: ""}},
		},
	}
	cases := []struct {
		width int
		want  string
	}{
		{0, "NAME           N  WHY            EXTRA\na long name    1                 x\n日本         234  for no reason"},
		{33, "NAME           N  WHY       EXTRA\na long name    1            x\n日本         234  for no …"},
		{26, "NAME       N  WHY    EXTRA\na long…    1         x\n日本     234  for …"},
		{18, "NAME      N  WHY\na lon…    1\n日本    234  for …"},
		{12, "NAME      N\na lon…    1\n日本    234"},
		{5, "NAME\na lo…\n日本"},
	}
	terminal := &Terminal{Stdout: &strings.Builder{}, Env: func(string) (string, bool) { return "", false }}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.width), func(t *testing.T) {
			if got := strings.Join(terminal.Lines(table, c.width), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	if got := terminal.Lines(&Table{Columns: table.Columns[:2]}, 0); len(got) != 1 || got[0] != "NAME  N" {
		t.Errorf("without rows: %q", got)
	}
}

func TestColored(t *testing.T) {
	cases := []struct {
		name, flag string
		env        map[string]string
		want       bool
	}{
		{"a pipe", "auto", nil, false},
		{"a pipe that wants it", "always", nil, true},
		{"--color wins over NO_COLOR", "always", map[string]string{"NO_COLOR": "1"}, true},
		{"never", "never", nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			terminal := &Terminal{Stdout: &strings.Builder{}, Env: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
			if err := terminal.setColor(c.flag); err != nil {
				t.Fatal(err)
			}
			if got := terminal.Paint(Bad, "x") != "x"; got != c.want {
				t.Errorf("colour is %t, want %t", got, c.want)
			}
		})
	}
}
