package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cmd/pollux/config"
)

func TestLogLeavesSecretsOut(t *testing.T) {
	const secret = "canary/secret+123"
	forms := []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := newLogger(&out, config.Log{Level: "debug", Format: format}, []string{secret, ""})
		for _, form := range forms {
			log.Info("message "+form, "plain", form, "err", fmt.Errorf("get: %w", errors.New(form)), slog.Group("g", "deep", form))
			log.Info("any", "value", map[string]string{"x": form}, "list", []string{form})
		}
		log.Info("by form", "err", &url.Error{Op: "Get", URL: "https://a.example/x?api_key=canary", Err: errors.New("Bearer canary.canary")})
		log.Info("by form", "a", "Basic Y2FuYXJ5", "b", "plx_canary-canary", "c", "whsec_canary")
		log.Info("by name", "authorization", "canary", "X-API-Key", "canary", "access_token", "canary", slog.Group("g", "client_secret", "canary"))
		log.With("token", "canary").WithGroup("h").Info("with", "cookie", "canary")
		for _, form := range append(forms, "canary", "Y2FuYXJ5") {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s log shows %q:\n%s", format, form, out.String())
			}
		}
		if n := strings.Count(out.String(), "[redacted]"); n < 20 {
			t.Errorf("%s log redacts only %d times:\n%s", format, n, out.String())
		}
	}
}

// What changes by itself is left out as it is at the time.
func TestLogLeavesHeldSecretsOut(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, config.Log{Level: "info", Format: "text"}, nil)
	held := "canary-first"
	log.follow(func() []string { return []string{held, ""} })
	log.Info("a", "v", "it is canary-first")
	held = "canary-second"
	log.Info("b", "v", "it is canary-second", "err", errors.New(url.QueryEscape("canary-second")))
	if said := out.String(); strings.Contains(said, "canary") || strings.Count(said, "[redacted]") != 3 {
		t.Errorf("the log shows %s", said)
	}
}

func TestLogKeepsFacts(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, config.Log{Level: "info", Format: "text"}, nil)
	log.Debug("hidden")
	log.Info("poll", "upstream", "orq", "took", 1500*time.Millisecond, "code", 503, "address", "127.0.0.1:8080")
	line := out.String()
	for _, want := range []string{"level=INFO", `msg=poll`, "upstream=orq", "took=1.5s", "code=503", "address=127.0.0.1:8080", "time="} {
		if !strings.Contains(line, want) {
			t.Errorf("log line lacks %s: %s", want, line)
		}
	}
	if strings.Contains(line, "hidden") {
		t.Errorf("level info shows debug: %s", line)
	}
	log.configure(config.Log{Level: "debug"}, []string{"orq-secret"})
	log.Debug("shown", "v", "orq-secret")
	if !strings.Contains(out.String(), "shown") || strings.Contains(out.String(), "orq-secret") {
		t.Errorf("after configure: %s", out.String())
	}
}

func TestLogLimitsWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newTranscript()
		log := newLogger(out, config.Log{Level: "info", Format: "text"}, nil)
		for i := range 250 {
			log.With("i", i).Warn("store failed")
			log.Info("told")
			log.Error("refused")
		}
		count := func(s string, want int) {
			t.Helper()
			if n := strings.Count(out.String(), s); n != want {
				t.Errorf("%d lines with %q, want %d", n, s, want)
			}
		}
		count("store failed", 100)
		count("msg=told", 250)
		count("refused", 250)
		count("left out", 0)
		time.Sleep(logPeriod) // nobody logs any more
		synctest.Wait()
		count(`message="store failed" lines=150`, 1)
		for range 102 {
			log.Warn("store failed")
		}
		count(`msg="store failed"`, 200)
		log.leftOut() // as the process does at its end
		count(`message="store failed" lines=2`, 1)
		time.Sleep(2 * logPeriod)
		synctest.Wait()
		count("left out", 2)
	})
}
