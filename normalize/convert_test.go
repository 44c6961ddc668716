package normalize

import (
	"testing"
	"time"
)

func TestParseCount(t *testing.T) {
	tests := map[string]Number{
		"0": "0", "12": "12", "12.0": "12", "1.2e1": "12", "1e3": "1000", "100e-2": "1", "12345678901234567890123": "12345678901234567890123",
		"1.5": "", "-1": "", "1e-1": "", "1e999999999": "", "01": "", "+1": "", "": "", "1.": "", ".5": "", "0x1": "", "true": "", " 1": "", "1e": "",
	}
	for raw, want := range tests {
		if got, _ := parseCount(raw); got != want {
			t.Errorf("parseCount(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestParsePercent(t *testing.T) {
	tests := map[string]Number{
		"0": "0", "45": "45", "33.30": "33.30", "100": "100", "100.0": "100.0", "1e2": "1e2",
		"100.01": "", "101": "", "1e3": "", "-1": "", "12345": "", "x": "",
	}
	for raw, want := range tests {
		if got, _ := parsePercent(raw); got != want {
			t.Errorf("parsePercent(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	tests := []struct{ form, in, want string }{
		{"unix", "1763805600", "2025-11-22T10:00:00Z"},
		{"unix", "1763805600.5", "2025-11-22T10:00:00.5Z"},
		{"unix", "1763805600.1234567891", "2025-11-22T10:00:00.123456789Z"},
		{"unix", "1.7638056e9", "2025-11-22T10:00:00Z"},
		{"unix", "1763805600000", ""}, // milliseconds
		{"unix", "0", ""},
		{"unix", "-1763805600", ""},
		{"unix", "99999999999999999999", ""},
		{"unix", "1e400", ""},
		{"unix", "2025-11-22T10:00:00Z", ""},
		{"unix_ms", "1763805600000", "2025-11-22T10:00:00Z"},
		{"unix_ms", "1763805600123.25", "2025-11-22T10:00:00.12325Z"},
		{"unix_ms", "5", "1970-01-01T00:00:00.005Z"},
		{"rfc3339", "2026-03-05T10:30:00.000000+00:00", "2026-03-05T10:30:00Z"},
		{"rfc3339", "2026-03-05T10:30:15.000000", "2026-03-05T10:30:15Z"},
		{"rfc3339", "2026-03-05 10:30:15.25", "2026-03-05T10:30:15.25Z"},
		{"rfc3339", "2026-06-02T13:04:49.004117392Z", "2026-06-02T13:04:49.004117392Z"},
		{"rfc3339", "2026-06-02T13:04:49.0041173929Z", "2026-06-02T13:04:49.004117392Z"},
		{"rfc3339", "2026-06-02t23:04:49.500-02:30", "2026-06-03T01:34:49.5Z"},
		{"rfc3339", "0001-01-01T00:00:00Z", ""},
		{"rfc3339", "1969-12-31T23:59:59Z", ""},
		{"rfc3339", "9999-12-31T23:59:59-01:00", ""},
		{"rfc3339", "2026-02-30T10:00:00Z", ""},
		{"rfc3339", "2026-02-03T1:00:00Z", ""},
		{"rfc3339", "2026-02-03", ""},
		{"rfc3339", "2026-02-03T10:00:00+0000", ""},
		{"rfc3339", "2026-02-03T10:00:00Z ", ""},
		{"rfc3339", "1763805600", ""},
	}
	for _, tt := range tests {
		got := ""
		if at, ok := parseTime(tt.in, tt.form); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != tt.want {
			t.Errorf("parseTime(%q, %s) = %q, want %q", tt.in, tt.form, got, tt.want)
		}
	}
}

func TestJoinText(t *testing.T) {
	comma := ", "
	tests := []struct {
		list string
		join *string
		want string
		ok   bool
	}{
		{`["a","b"]`, nil, "ab", true},
		{`[["a","b"],["c"]]`, nil, "ab\n\nc", true},
		{`[["a",["b","c"]],"d"]`, nil, "abc\n\nd", true},
		{`[["a"],[],[""],["b"]]`, nil, "a\n\nb", true},
		{`[["a",{"x":"y"},1,null,true]]`, nil, "a", true},
		{`["a","b"]`, &comma, "a, b", true},
		{`[["a","b"],["c"]]`, &comma, "ab, c", true},
		{`[""]`, nil, "", true},
		{`[]`, nil, "", false},
		{`[[],[{}],1]`, nil, "", false},
	}
	for _, tt := range tests {
		if got, ok := joinText(tt.list, tt.join); got != tt.want || ok != tt.ok {
			t.Errorf("joinText(%s) = %q, %v, want %q, %v", tt.list, got, ok, tt.want, tt.ok)
		}
	}
}
