package roots

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestPanicsAreCaughtCountedAndLogged(t *testing.T) {
	var none []int
	for _, c := range []struct {
		name, said string
		f          func()
	}{
		{"the runtime's", "index out of range", func() { _ = none[3] }},
		{"ours", "BUG: no such thing", func() { panic("BUG: no such thing") }},
		{"a text of somebody else", "panic=string", func() { panic("quoted secret") }},
		{"an error", "panic=*errors.errorString", func() { panic(errors.New("quoted secret")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			panics := prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"})
			r := New(panics, slog.New(slog.NewTextHandler(&out, nil)))
			if !r.Run("a root", c.f) {
				t.Error("it is not said that there was a panic")
			}
			log := out.String()
			if !strings.Contains(log, c.said) || !strings.Contains(log, "a root") || !strings.Contains(log, "TestPanicsAreCaught") || strings.Contains(log, "secret") {
				t.Errorf("logged %s", log)
			}
			if n := testutil.ToFloat64(panics); n != 1 {
				t.Errorf("%v panics are counted", n)
			}
		})
	}
}

func TestKeptRootsBeginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.DiscardHandler))
		began, runs := time.Now(), 0
		r.Keep(nil, "a loop", func() {
			if runs++; runs < 3 {
				panic("BUG: again")
			}
		})
		if took := time.Since(began); runs != 3 || took != 2*time.Second {
			t.Errorf("%d runs in %v, want 3 with a second between", runs, took)
		}
		stop := make(chan struct{})
		time.AfterFunc(10*time.Second, func() { close(stop) })
		r.Keep(stop, "a loop", func() { panic("BUG: always") })
	})
}
