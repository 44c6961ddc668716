package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"

	"pollux/cmd/pollux/config"
)

// logger is the process's log: its level and the secrets that it leaves out
// change with a reload, its format does not.
type logger struct {
	*slog.Logger
	level   slog.LevelVar
	secrets atomic.Pointer[strings.Replacer]
	held    atomic.Pointer[func() []string] // secrets that change by themselves; nil: none
	leftOut func()                          // tells early how many lines were left out
}

func newLogger(w io.Writer, c config.Log, secrets []string) *logger {
	l := new(logger)
	l.configure(c, secrets)
	options := &slog.HandlerOptions{Level: &l.level, ReplaceAttr: l.redact}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if c.Format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	limited := limit(h)
	l.Logger, l.leftOut = slog.New(limited), limited.period.end
	return l
}

// configure sets the level and replaces the secrets. It is safe while others log.
func (l *logger) configure(c config.Log, secrets []string) {
	l.level.Set(c.Threshold())
	l.secrets.Store(redacting(secrets))
}

// follow leaves out besides what held returns at the time: what is read from
// files, and tokens. It must be safe while others log.
func (l *logger) follow(held func() []string) { l.held.Store(&held) }

// redacting replaces secrets, in the forms in which they travel.
func redacting(secrets []string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		// Shorter ones would turn every other word of the log into stars.
		if len(s) < 6 {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), base64.StdEncoding.EncodeToString([]byte(s))} {
			pairs = append(pairs, form, "[redacted]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// telling are the names of attributes that hold a credential, whatever it
// looks like.
var telling = regexp.MustCompile(`(?i)(authorization|credential|password|secret|token|cookie|api[-_]?key|pollux-key)`)

// looksSecret finds credentials by their form: schemes, our own keys, webhook
// secrets, and the query of a URL, where some APIs put theirs.
var looksSecret = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[^\s"',;]+|\bplx_[A-Za-z0-9_-]+|\bwhsec_[A-Za-z0-9+/=]+|\?[^\s"'#]*=[^\s"'#]*`)

// redact takes credentials out of one attribute (slog.HandlerOptions.ReplaceAttr).
func (l *logger) redact(_ []string, a slog.Attr) slog.Attr {
	if telling.MatchString(a.Key) {
		return slog.String(a.Key, "[redacted]")
	}
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(l.clean(a.Value.String()))
	case slog.KindAny:
		if a.Key != slog.LevelKey && a.Key != slog.SourceKey {
			a.Value = slog.StringValue(l.clean(fmt.Sprint(a.Value.Any())))
		}
	}
	return a
}

func (l *logger) clean(s string) string {
	s = l.secrets.Load().Replace(s)
	if held := l.held.Load(); held != nil {
		if secrets := (*held)(); len(secrets) > 0 {
			s = redacting(secrets).Replace(s)
		}
	}
	return looksSecret.ReplaceAllStringFunc(s, func(match string) string {
		if match[0] == '?' {
			return "?[redacted]"
		}
		return "[redacted]"
	})
}
