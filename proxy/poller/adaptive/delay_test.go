package adaptive

import (
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	for text, want := range map[string]Delay{
		"1s or 10%": {time.Second, 0.1}, "60s or 100%": {time.Minute, 1}, "2s": {2 * time.Second, 0}, "5%": {0, 0.05}, "0.5%": {0, 0.005}, "1m0s or 7%": {time.Minute, 0.07}, "1m0s or 2.5%": {time.Minute, 0.025},
	} {
		got, err := ParseDelay(text)
		if err != nil || got != want {
			t.Errorf("ParseDelay(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := ParseDelay(got.String()); err != nil || again != got {
			t.Errorf("ParseDelay(%q) = %v, %v, want %v", got.String(), again, err, got)
		}
	}
	for _, text := range []string{"", "1", "%", "1s or", "1s or 2s", "10% or 1s", "or", " or ", "x%", "NaN%", "1s or 1s or 5%"} {
		if got, err := ParseDelay(text); err == nil {
			t.Errorf("ParseDelay(%q) = %v, want an error", text, got)
		}
	}
}
