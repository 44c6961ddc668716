package client

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"pollux/cmd/pollux/console"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// plainTerminal is as wide as that, and has no colour.
func plainTerminal(width int) *console.Terminal {
	return &console.Terminal{Stdout: &bytes.Buffer{}, Env: func(name string) (string, bool) {
		if name == "COLUMNS" && width > 0 {
			return fmt.Sprint(width), true
		}
		return "", false
	}}
}

// colored is t with colours.
func colored(t *testing.T, terminal *console.Terminal) *console.Terminal {
	t.Helper()
	terminal.Commands = []console.Command{{Name: "x"}}
	if _, code, done := terminal.Parse(terminal.Flags("x", ""), []string{"--color", "always"}, 0); done {
		t.Fatalf("--color: code %d", code)
	}
	return terminal
}

// TestScreens compares what a person sees in terminals of several widths.
func TestScreens(t *testing.T) {
	o := lookAt(t)
	var list taskList
	if err := json.Unmarshal([]byte(listOf("null",
		rowOf("shannon/task-e77c2c02-f2b9-468e-b767-e05a16d3a435-1795876315", "failed", `,"error":{"code":null,"message":"Model provider refused: the context window of the model is exceeded by 1,204 tokens"},"model":"claude-sonnet-4-5"`),
		rowOf("openai/resp_d2c83889d8d39888b59560306835ef7f04c73e832d752abd", "failed", `,"error":{"code":"server_error","message":"The server had an error"},"model":"gpt-5-mini-2025-08-07"`),
		rowOf("orq/my agent/01K6", "in_progress", `,"error":null,"stuck":true`),
		rowOf("a2a/7", "requires_action", `,"error":null`),
		rowOf("a2a/日本語", "completed", `,"error":null`),
		rowOf("vessl/12", "timed_out", `,"error":{"code":"E1"}`))), &list); err != nil {
		t.Fatal(err)
	}
	failed, err := parseDocument([]byte(documentOf("failed", map[string]any{"native_status": "TASK_STATUS_FAILED",
		"error":  map[string]any{"code": "E_TOOL", "type": "task_failed", "message": "the tool get_events answered with an error of its own: no such calendar, and nobody who could make one"},
		"output": map[string]any{"text": "What there is so far.", "data": nil, "messages": nil}})))
	if err != nil {
		t.Fatal(err)
	}
	screens := map[string]func(t *console.Terminal) []string{
		"top":       func(t *console.Terminal) []string { return o.screen(t, t.Width(), 0, nil) },
		"upstreams": func(t *console.Terminal) []string { return t.Lines(upstreamTable(o.Upstreams, lookedAt), t.Width()) },
		"list":      func(t *console.Terminal) []string { return t.Lines(taskTable(list.Data, lookedAt), t.Width()) },
		"get": func(t *console.Terminal) []string {
			_ = failed.writeText(t, "orq/my agent/01K6", "1m ago, hit; detail=terminal") // into memory
			return []string{strings.TrimSuffix(t.Stdout.(*bytes.Buffer).String(), "\n")}
		},
	}
	for name, screen := range screens {
		for _, width := range []int{60, 100, 160, 0} {
			lines := screen(plainTerminal(width))
			compareScreen(t, fmt.Sprintf("%s-%d", name, width), lines)
			for _, line := range strings.Split(strings.Join(lines, "\n"), "\n") {
				if n := ansi.StringWidth(line); width > 0 && n > width {
					t.Errorf("%s: %q takes %d of %d columns", name, line, n, width)
				}
			}
		}
		compareScreen(t, name+"-color", screen(colored(t, plainTerminal(100))))
	}
}

func compareScreen(t *testing.T, name string, lines []string) {
	t.Helper()
	file := filepath.Join("testdata", "screens", name+".golden")
	got := strings.ReplaceAll(strings.Join(lines, "\n"), "\x1b", "␛") + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}
