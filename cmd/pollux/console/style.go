package console

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Style is how text looks where there is colour. What it says must be said by
// the text as well.
type Style int

const (
	Plain   Style = iota
	Strong        // heads
	Faint         // what matters least
	Good          // ended well, or answering
	Running       // under way
	Caution       // deserves a look
	Bad           // failed
)

// styles are of the sixteen colours that every terminal has, in the shades
// that its user chose.
var styles = map[Style]ansi.Style{
	Strong:  ansi.NewStyle().Bold(),
	Faint:   ansi.NewStyle().Faint(),
	Good:    ansi.NewStyle().ForegroundColor(ansi.Green),
	Running: ansi.NewStyle().ForegroundColor(ansi.Cyan),
	Caution: ansi.NewStyle().ForegroundColor(ansi.Yellow),
	Bad:     ansi.NewStyle().ForegroundColor(ansi.Red).Bold(),
}

// Paint is text in a style, or text where there is no colour.
func (t *Terminal) Paint(s Style, text string) string {
	if s == Plain || text == "" || !t.colored() {
		return text
	}
	return styles[s].Styled(text)
}

// setColor reads --color.
func (t *Terminal) setColor(mode string) error {
	switch mode {
	case "auto", "always", "never":
		t.color = mode
		return nil
	}
	return fmt.Errorf("want auto, always or never, not `%s`", CleanLine(mode))
}

// colored follows https://no-color.org where --color leaves it open.
func (t *Terminal) colored() bool {
	switch t.color {
	case "always":
		return true
	case "never":
		return false
	}
	noColor, _ := t.Env("NO_COLOR")
	kind, _ := t.Env("TERM")
	return noColor == "" && kind != "dumb" && IsTerminal(t.Stdout)
}

// Clip cuts s to width columns, colours left as they are.
func Clip(s string, width int) string { return ansi.Truncate(s, max(width, 0), "…") }

// Pad fills s up to width columns, or cuts it.
func Pad(s string, width int) string {
	s = Clip(s, width)
	return fmt.Sprintf("%s%*s", s, width-ansi.StringWidth(s), "")
}

// Wrap breaks s between words into lines of width columns, each but the first
// behind so many blanks. A width of 0 breaks nothing.
func Wrap(s string, width, indent int) string {
	if width == 0 {
		return s
	}
	return strings.ReplaceAll(ansi.Wrap(s, max(width-indent, 20), ""), "\n", "\n"+strings.Repeat(" ", indent))
}
