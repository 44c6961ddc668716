package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// samePerPeriod bounds the warnings with one message in a logPeriod, so that
	// nobody's requests, and no trouble that every one of them meets, can fill a
	// disk.
	samePerPeriod = 100
	logPeriod     = time.Minute
)

// limited is a slog.Handler that passes on samePerPeriod lines of each message,
// and says when the period ends how many it left out. Only warnings are counted:
// an error, such as a refused reload, is always told.
type limited struct {
	slog.Handler
	period *period
}

// period is what a handler and those made of it have counted.
type period struct {
	to    slog.Handler
	mu    sync.Mutex
	lines map[string]int // by message, since the first warning of the period
}

func limit(h slog.Handler) *limited {
	return &limited{h, &period{to: h, lines: map[string]int{}}}
}

func (l *limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limited{l.Handler.WithAttrs(attrs), l.period}
}

func (l *limited) WithGroup(name string) slog.Handler {
	return &limited{l.Handler.WithGroup(name), l.period}
}

func (l *limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && !l.period.pass(r.Message) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// pass counts a line, and reports whether it is to be written.
func (c *period) pass(message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == 0 {
		time.AfterFunc(logPeriod, c.end)
	}
	c.lines[message]++
	return c.lines[message] <= samePerPeriod
}

// end begins another period, and tells what was left out in this one.
func (c *period) end() {
	c.mu.Lock()
	lines := c.lines
	c.lines = map[string]int{}
	c.mu.Unlock()
	for _, message := range slices.Sorted(maps.Keys(lines)) {
		if left := lines[message] - samePerPeriod; left > 0 {
			note := slog.NewRecord(time.Now(), slog.LevelWarn, "lines with one message were left out", 0)
			note.AddAttrs(slog.String("message", message), slog.Int("lines", left))
			_ = c.to.Handle(context.Background(), note) // as for every line: nobody is there to be told
		}
	}
}
