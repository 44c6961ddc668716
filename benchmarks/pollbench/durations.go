package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Bounds of a file of durations.
const (
	mostDurations   = 1_000_000
	longestDuration = 1e7 // seconds
)

// readDurations reads a file with one number of seconds a line.
func readDurations(path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path
	}
	defer f.Close()
	return parseDurations(path, f)
}

func parseDurations(path string, r io.Reader) (durations []float64, err error) {
	lines := bufio.NewScanner(r)
	line := 0
	for lines.Scan() {
		line++
		text := strings.TrimSpace(lines.Text())
		d, err := strconv.ParseFloat(text, 64)
		if err != nil || !(d > 0 && d <= longestDuration) {
			return nil, fmt.Errorf("%s:%d: %.40q is no number of seconds above 0 and up to %g", path, line, text, longestDuration)
		}
		if len(durations) == mostDurations {
			return nil, fmt.Errorf("%s:%d: more than %d durations", path, line, mostDurations)
		}
		durations = append(durations, d)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line+1, err)
	}
	if len(durations) == 0 {
		return nil, fmt.Errorf("%s: no durations, want one number of seconds a line", path)
	}
	return durations, nil
}
