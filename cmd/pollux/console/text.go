package console

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// CleanText makes foreign text harmless for a terminal: lines and tabs stay,
// and what would move the cursor, change colours, set titles or turn the
// direction of writing around becomes a replacement character.
func CleanText(s string) string {
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

// CleanLine is CleanText for what has to stay on one line.
func CleanLine(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\t", " ").Replace(CleanText(s)))
}

// Brief is a duration in its largest unit: 12s, 3m, 5h, 9d.
func Brief(d time.Duration) string {
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

// Since is how long ago t was; "-" if nobody knows.
func Since(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	return Brief(now.Sub(*t))
}
