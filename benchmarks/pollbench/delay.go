package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"pollux/proxy/poller/adaptive"
)

var errDelay = errors.New(`want a duration, a percentage of the age, or both as in "1s or 10%"`)

// delayFlag reads a delay as the configuration writes it, the flag.Value of
// --target and --max-delay. The word none is accepted if optional is set.
type delayFlag struct {
	delay    *adaptive.Delay
	optional bool
}

func (f delayFlag) String() string {
	if f.delay == nil {
		return ""
	}
	return formatDelay(*f.delay)
}

func (f delayFlag) Set(s string) error {
	if f.optional && s == "none" {
		*f.delay = adaptive.Delay{}
		return nil
	}
	d, err := parseDelay(s)
	if err == nil {
		*f.delay = d
	}
	return err
}

func parseDelay(s string) (d adaptive.Delay, err error) {
	for part := range strings.SplitSeq(s, " or ") {
		if percent, ok := strings.CutSuffix(part, "%"); ok {
			v, err := strconv.ParseFloat(percent, 64)
			if err != nil || !(v > 0 && v <= 1000) || d.Relative != 0 {
				return adaptive.Delay{}, errDelay
			}
			d.Relative = v / 100
			continue
		}
		v, err := time.ParseDuration(part)
		if err != nil || v < time.Millisecond || d.Absolute != 0 {
			return adaptive.Delay{}, errDelay
		}
		d.Absolute = v
	}
	return d, nil
}

func formatDelay(d adaptive.Delay) string {
	relative := strconv.FormatFloat(math.Round(d.Relative*1e6)/1e4, 'f', -1, 64) + "%"
	switch {
	case d == adaptive.Delay{}:
		return "none"
	case d.Relative == 0:
		return d.Absolute.String()
	case d.Absolute == 0:
		return relative
	}
	return d.Absolute.String() + " or " + relative
}
