package strictyaml

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzParse asserts that no file can make us panic or stall, that a fault never
// shows a variable's value, and that every JSON object with distinct keys is read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1\n", "a: {value: ${KEY}}\n", "- - a\n- b: |\n    c\n", `{"a": ["\u0041", 1e3, null]}`,
		"a: &x [*x]\n", "? a\n: b\n", "a: 'b\n  c'\n", "%YAML 1.2\n---\n", "a:\n- b\n-  c: d\n   e: f\n", "\"a\": >-\n  b\n", "[[[[", "{{a", "a: b: c",
	} {
		f.Add([]byte(seed))
	}
	env := func(string) (string, bool) { return "CANARY-VALUE", true }
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "CANARY-VALUE") {
			return
		}
		start := time.Now()
		root, faults := Parse("f", data, env)
		var config testConfig
		faults = append(faults, root.Decode(&config)...)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("reading %d bytes took %s", len(data), took)
		}
		if strings.Contains(faults.Error(), "CANARY-VALUE") {
			t.Errorf("Parse(%q): a fault shows a value: %v", data, faults)
		}
		if root == nil && len(faults) == 0 {
			t.Errorf("Parse(%q): neither a node nor a fault", data)
		}
		var object map[string]float64
		if json.Unmarshal(data, &object) == nil && object != nil && root == nil && json.Valid(data) && printable(data) {
			t.Errorf("Parse(%q) refused JSON: %v", data, faults)
		}
	})
}

// printable reports whether data holds only what a person would write into
// JSON: ASCII without the escapes that hide something else.
func printable(data []byte) bool {
	for _, c := range data {
		if c == '\\' || c == '\r' || c > '~' {
			return false
		}
	}
	return true
}
