package providers

import (
	"math"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"120", 2 * time.Minute, true},
		{"0", 0, true},
		{"007", 7 * time.Second, true},
		{"9223372036", 9223372036 * time.Second, true},
		{"9223372037", 9223372036 * time.Second, true},
		{"99999999999999999999999999999999", 9223372036 * time.Second, true},
		{"Tue, 24 Nov 2026 12:00:30 GMT", 30 * time.Second, true},
		{"Tuesday, 24-Nov-26 12:00:30 GMT", 30 * time.Second, true},
		{"Tue Nov 24 12:00:30 2026", 30 * time.Second, true},
		{"Fri, 31 Dec 9999 23:59:59 GMT", math.MaxInt64, true},

		{"", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"5.5", 6 * time.Second, true},
		{"292.05", 293 * time.Second, true},
		{"5.00", 5 * time.Second, true},
		{"9223372036.1", 9223372036 * time.Second, true},
		{"5.", 0, false},
		{".5", 0, false},
		{"5.5.5", 0, false},
		{"5.5s", 0, false},
		{"1e3", 0, false},
		{"5s", 0, false},
		{"5, 6", 0, false},
		{" 5", 0, false},
		{"soon", 0, false},
		{"Tue, 24 Nov 2026 12:00:00 GMT", 0, false},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0, false},
		{"Tue, 24 Nov 2026 12:00:30 UTC", 0, false},
		{"Tue, 24 Nov 2026 12:00:30 CET", 0, false},
		{"Tue, 24 Nov 2026 12:00:30 +0000", 0, false},
		{"Tuesday, 24-Nov-26 12:00:30 UTC", 0, false},
		{"2026-11-24T12:00:30Z", 0, false},
	}
	for _, test := range tests {
		if wait, ok := RetryAfter(test.value, noon); wait != test.want || ok != test.ok {
			t.Errorf("RetryAfter(%q) = %v, %v, want %v, %v", test.value, wait, ok, test.want, test.ok)
		}
	}
}
