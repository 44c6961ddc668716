package demo

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"pollux/cmd/pollux/console"
)

func TestPictureOnATerminal(t *testing.T) {
	var out bytes.Buffer
	s := &screen{Terminal: &console.Terminal{Stdout: &out, Env: os.LookupEnv}, live: true}
	p := picture{clients: 3, elapsed: 10 * time.Second, statuses: map[string]int{"queued": 2, "completed": 1},
		upstreams: []upstreamPicture{{"orq", counts{polls: 100, hits: 80, collapsed: 10, stale: 5, asked: 5}, 6}}}
	s.show(p)
	first := out.String()
	for _, want := range []string{"94.0 %", "queued 2, completed 1", "all upstreams are well", "10 polls/s in"} {
		if !strings.Contains(first, want) {
			t.Errorf("the picture lacks %q:\n%s", want, first)
		}
	}
	out.Reset()
	s.show(p)
	if up := fmt.Sprintf("\x1b[%dA", strings.Count(first, "\n")); !strings.HasPrefix(out.String(), up) {
		t.Errorf("the second picture does not start where the first did: %q", out.String()[:10])
	}
	for range 40 {
		p.upstreams = append(p.upstreams, upstreamPicture{name: "another with a long name", counts: counts{polls: 1}})
	}
	for _, size := range [][2]int{{60, 12}, {100, 24}, {160, 60}} {
		lines := p.lines(s.Terminal, size[0], size[1])
		if text := strings.Join(lines, "\n"); len(lines) > size[1] || !strings.Contains(text, "orq") || !strings.Contains(text, "\nall ") {
			t.Errorf("on a screen of %v:\n%s", size, text)
		}
		for _, line := range lines {
			if ansi.StringWidth(line) > size[0] {
				t.Errorf("%q on a screen of %v", line, size)
			}
		}
	}
}
