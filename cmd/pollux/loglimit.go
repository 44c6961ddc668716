package main

import (
	"context"
	"log/slog"
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
// and says in the next period how many it left out. Only warnings are counted: an
// error, such as a refused reload, is always told.
type limited struct {
	slog.Handler
	shared *messageCounts
}

// messageCounts is what a handler and those made of it have counted.
type messageCounts struct {
	mu    sync.Mutex
	began time.Time
	lines map[string]int
}

func limit(h slog.Handler) *limited { return &limited{h, new(messageCounts)} }

func (l *limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limited{l.Handler.WithAttrs(attrs), l.shared}
}

func (l *limited) WithGroup(name string) slog.Handler {
	return &limited{l.Handler.WithGroup(name), l.shared}
}

func (l *limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level != slog.LevelWarn {
		return l.Handler.Handle(ctx, r)
	}
	pass, ended := l.shared.count(r.Message, r.Time)
	for message, lines := range ended {
		if left := lines - samePerPeriod; left > 0 {
			note := slog.NewRecord(r.Time, slog.LevelWarn, "lines with one message were left out", 0)
			note.AddAttrs(slog.String("message", message), slog.Int("lines", left))
			if err := l.Handler.Handle(ctx, note); err != nil {
				return err
			}
		}
	}
	if !pass {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// count counts a line, and reports whether it is to be written. ended is what
// was counted in the period before, if this line begins another.
func (c *messageCounts) count(message string, now time.Time) (pass bool, ended map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.began) >= logPeriod {
		ended, c.lines, c.began = c.lines, map[string]int{}, now
	}
	c.lines[message]++
	return c.lines[message] <= samePerPeriod, ended
}
