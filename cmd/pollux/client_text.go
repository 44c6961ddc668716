package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// cleanText makes foreign text harmless for a terminal: lines and tabs stay,
// and what would move the cursor, change colours, set titles or turn the
// direction of writing around becomes a replacement character.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r < ' ', 0x7f <= r && r <= 0x9f, // C0, DEL, C1
			0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069: // bidirectional overrides
			return utf8.RuneError
		}
		return r
	}, s)
}

// cleanLine is cleanText for what has to stay on one line.
func cleanLine(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\t", " ").Replace(cleanText(s)))
}

// clip cuts s to width characters.
func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}

// pad fills s up to width characters, or cuts it.
func pad(s string, width int) string {
	s = clip(s, width)
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

// brief is a duration in its largest unit: 12s, 3m, 5h, 9d.
func brief(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// since is how long ago t was; "-" if nobody knows.
func since(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	return brief(now.Sub(*t))
}

// isTerminal reports whether a person looks at w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// terminalSize is the size of what w shows on, or of an old one.
func terminalSize(w io.Writer) (width, height int) {
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
