package adaptive

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Delay is the larger of an absolute and a relative delay, as in "1s or 10%".
type Delay struct {
	Absolute time.Duration
	Relative float64 // fraction of the task's age; 0 means none
}

// At returns the delay for a task of the given age.
func (d Delay) At(age time.Duration) time.Duration {
	return toDuration(d.at(age.Seconds()))
}

func (d Delay) at(age float64) float64 {
	return max(d.Absolute.Seconds(), d.Relative*age)
}

// ParseDelay reads an absolute delay, a relative one or both, as in "1s or 10%".
// It may be negative.
func ParseDelay(s string) (d Delay, err error) {
	absolute, relative, both := strings.Cut(s, " or ")
	if !both && strings.HasSuffix(s, "%") {
		absolute, relative = "", s
	}
	if both || relative == "" {
		if d.Absolute, err = time.ParseDuration(strings.TrimSpace(absolute)); err != nil || !both {
			return d, err
		}
	}
	percent, ok := strings.CutSuffix(strings.TrimSpace(relative), "%")
	f, err := strconv.ParseFloat(percent, 64)
	if !ok || err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return Delay{}, strconv.ErrSyntax
	}
	d.Relative = f / 100
	return d, nil
}

// String is d as ParseDelay reads it, with at most four digits of a percent.
func (d Delay) String() string {
	percent := strconv.FormatFloat(math.Round(d.Relative*1e6)/1e4, 'f', -1, 64) + "%"
	switch {
	case d.Relative == 0:
		return d.Absolute.String()
	case d.Absolute == 0:
		return percent
	}
	return d.Absolute.String() + " or " + percent
}
