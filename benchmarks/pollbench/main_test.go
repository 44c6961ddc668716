package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func runWith(args ...string) (code int, stdout, stderr string) {
	var out, faults bytes.Buffer
	code = run(args, &out, &faults)
	return code, out.String(), faults.String()
}

func TestReferenceRun(t *testing.T) {
	code, out, faults := runWith("--json")
	if code != 0 || faults != "" {
		t.Fatalf("exit %d: %s", code, faults)
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 36 || r.Target != "1s or 10%" || r.MaxDelay != "1m0s or 100%" {
		t.Errorf("%d rows, target %q, max_delay %q", len(r.Rows), r.Target, r.MaxDelay)
	}
	if got := r.Scores["gap = 2 tau"]; got < 3.93 || got > 3.98 {
		t.Errorf("without learning the score is %.3f, want 3.95", got)
	}
	if got := r.Scores["adaptive"]; got < 1 || got > 1.27 {
		t.Errorf("adaptive score %.3f, want at most 1.27", got)
	}
	if _, again, _ := runWith("--json", "--seed", "1000"); again != out {
		t.Error("two runs with the same seed differ")
	}
}

func TestRecordedRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "durations")
	if err := os.WriteFile(path, []byte(strings.Repeat("12.5\n30\n7e1\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, faults := runWith("--durations", path, "--target", "2s", "--max-delay", "none")
	if code != 0 || faults != "" {
		t.Fatalf("exit %d: %s", code, faults)
	}
	for _, want := range []string{path + ", target 2s, max_delay none", "recorded      adaptive ", "score (mean x): "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestUsageFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"unknown flag":    {[]string{"--colour"}, "-colour"},
		"argument":        {[]string{"now"}, `unexpected argument "now"`},
		"seed":            {[]string{"--seed", "-1"}, "-seed"},
		"target":          {[]string{"--target", "soon"}, "-target"},
		"no target":       {[]string{"--target", "none"}, "-target"},
		"two targets":     {[]string{"--target", "1s or 2s"}, "-target"},
		"not a percent":   {[]string{"--target", "NaN%"}, "-target"},
		"max delay":       {[]string{"--max-delay", "-5s"}, "-max-delay"},
		"seed and file":   {[]string{"--seed", "1", "--durations", file("ok", "1\n")}, "exclude each other"},
		"missing file":    {[]string{"--durations", filepath.Join(dir, "none")}, filepath.Join(dir, "none")},
		"directory":       {[]string{"--durations", dir}, dir},
		"no name":         {[]string{"--durations", ""}, "open"},
		"empty file":      {[]string{"--durations", file("empty", "")}, "empty: no durations"},
		"word":            {[]string{"--durations", file("word", "1\n2\nthree\n")}, `word:3: "three"`},
		"negative":        {[]string{"--durations", file("negative", "1\n-2\n")}, `negative:2: "-2"`},
		"not a number":    {[]string{"--durations", file("nan", "NaN\n")}, `nan:1: "NaN"`},
		"endless":         {[]string{"--durations", file("inf", "+Inf\n")}, `inf:1: "+Inf"`},
		"overlong number": {[]string{"--durations", file("long", strings.Repeat("1", 1<<17))}, "long:1: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, faults := runWith(tt.args...)
			if code != exitUsage || out != "" || !strings.Contains(faults, tt.want) {
				t.Errorf("exit %d, output %q, fault %q, want exit %d and a fault with %q", code, out, faults, exitUsage, tt.want)
			}
		})
	}
}
