package strictyaml

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func testEnv(name string) (string, bool) {
	value, ok := map[string]string{"KEY": "s3cret", "FIVE": "5", "EMPTY": "", "LOOP": "${KEY}"}[name]
	return value, ok
}

type testUpstream struct {
	BaseURL string            `yaml:"base_url"`
	Timeout time.Duration     `yaml:"timeout"`
	Params  map[string]string `yaml:"params"`
	Rate    *testRate         `yaml:"rate"`
}

type testRate struct {
	Requests int `yaml:"requests"`
}

type testInline struct {
	Listen string `yaml:"listen"`
}

type testConfig struct {
	testInline
	MaxBytes  Bytes                   `yaml:"max_bytes"`
	Anonymous bool                    `yaml:"allow_anonymous"`
	Ratio     float64                 `yaml:"ratio"`
	Failures  int8                    `yaml:"failures"`
	Burst     uint                    `yaml:"burst"`
	Names     []string                `yaml:"names"`
	Upstreams map[string]testUpstream `yaml:"upstreams"`
}

func TestFaults(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string // nil: none
	}{
		{"empty", "", nil},
		{"comment only", "# nothing\n", nil},
		{"all kinds", "listen: ':1'\nmax_bytes: 16MiB\nallow_anonymous: true\nratio: 1e-1\nfailures: 5\nnames: [a, b]\n", nil},
		{"empty mapping", "upstreams:\nnames:\n", nil},
		{"byte order mark", "\xef\xbb\xbflisten: a\n", nil},
		{"carriage returns", "listen: a\r\nnames:\r\n  - b\r\n", nil},
		{"json with tabs", "{\n\t\"listen\": \"a\",\n\t\"names\": [\"\\ud83d\\ude00\"]\n}", nil},
		{"unknown key", "liste: a\n", []string{"f:1:1: liste: unknown key, did you mean listen?"}},
		{"unknown key far from all", "colour: a\n", []string{"f:1:1: colour: unknown key"}},
		{"a secret where a key belongs", "upstreams: {x: {sk-live-12345}}\n", []string{"f:1:17: upstreams.x: unknown key"}},
		{"several faults", "listen: 5\nfailures: x\nupstreams:\n  s:\n    timeout: 10\n    tiemout: 1s\n", []string{
			"f:1:9: listen: want a string, put it in quotes",
			"f:2:11: failures: want a whole number",
			"f:5:14: upstreams.s.timeout: want a duration such as 10s",
			"f:6:5: upstreams.s.tiemout: unknown key, did you mean timeout?",
		}},
		{"duplicate key", "listen: a\nratio: 1\nlisten: b\n", []string{"f:3:1: listen: given twice, first in line 1"}},
		{"duplicate keys and wrong types", "listen: a\nratio: x\nlisten: b\n", []string{
			"f:2:8: ratio: want a number", "f:3:1: listen: given twice, first in line 1"}},
		{"yes is no boolean", "allow_anonymous: yes\n", []string{"f:1:18: allow_anonymous: want true or false"}},
		{"on is no boolean", "allow_anonymous: on\n", []string{"f:1:18: allow_anonymous: want true or false"}},
		{"quoted number", "failures: '5'\n", []string{"f:1:11: failures: want a whole number, without quotes"}},
		{"number out of range", "failures: 500\n", []string{"f:1:11: failures: out of range"}},
		{"negative for unsigned", "burst: -1\n", []string{"f:1:8: burst: want a whole number"}},
		{"not a number", "ratio: .nan\n", []string{"f:1:8: ratio: want a number"}},
		{"infinity", "ratio: .inf\n", []string{"f:1:8: ratio: want a number"}},
		{"fraction for whole", "failures: 1.5\n", []string{"f:1:11: failures: want a whole number"}},
		{"list for mapping", "upstreams: [a]\n", []string{"f:1:12: upstreams: want a mapping"}},
		{"scalar for list", "names: a\n", []string{"f:1:8: names: want a list"}},
		{"number in a list", "names:\n  - a\n  - 1\n", []string{"f:3:5: names[1]: want a string, put it in quotes"}},
		{"mapping for scalar", "listen: {a: b}\n", []string{"f:1:9: listen: want a string"}},
		{"no value", "listen:\n", []string{"f:1:1: listen: has no value, want a string"}},
		{"bad size", "max_bytes: 16 parsecs\n", []string{"f:1:12: max_bytes: want a size such as 16MiB"}},
		{"scalar document", "s3cret\n", []string{"f:1:1: want a mapping"}},
		{"two documents", "listen: a\n---\nlisten: b\n", []string{"f:2:1: holds more than one document"}},
		{"anchor, alias, merge, tag", "listen: &a x\nnames: *a\n<<: {}\nratio: !!float 1\n", []string{
			"f:1:9: anchors are not supported", "f:2:8: aliases are not supported",
			"f:3:1: merge keys are not supported", "f:4:8: tags are not supported"}},
		{"directive", "%YAML 1.2\n---\nlisten: a\n", []string{"f:1:1: a value that starts with % needs quotes; directives are not supported"}},
		{"tab as indentation", "upstreams:\n\ta: {}\n", []string{"f:2:1: a tab cannot indent"}},
		{"open quote", "listen: \"s3cret\n", []string{"f:1:9: could not find end character of double-quoted text"}},
		{"reserved character", "listen: @s3cret\n", []string{"f:1:9: a value that starts with @ or ` needs quotes"}},
		{"unknown escape", "listen: \"\\q\"\n", []string{"f:1:11: unknown escape in double quotes"}},
		{"colon in a value", "listen: a: b\n", []string{"f:1:9: mapping value is not allowed in this context"}},
		{"not UTF-8", "listen: \xff\n", []string{"f:1:9: is not valid UTF-8"}},
		{"control character", "listen: \x00\n", []string{"f:1:9: control character"}},
		{"private-use character", "listen: \uE000\n", []string{"f:1:9: private-use character"}},
		{"deep flow", strings.Repeat("[", 1000), []string{"f:1:65: nested too deeply"}},
		{"deep block", strings.Repeat("- ", 1000) + "x", []string{"f:1:129: nested too deeply"}},
		{"many empty lines", "listen: |\n" + strings.Repeat("\n", 1<<16), []string{"f:1:1: too many empty lines in a row"}},
		{"too large", strings.Repeat("#", MaxSize+1), []string{"f: is larger than 1 MiB"}},
		{"unset variable", "listen: ${NOPE}\nratio: x\n", []string{
			"f:1:9: listen: environment variable NOPE is not set", "f:2:8: ratio: want a number"}},
		{"unset variable for a number", "failures: ${NOPE}\n", []string{"f:1:11: failures: environment variable NOPE is not set"}},
		{"malformed variable", "listen: '${NOPE:-x}'\n", []string{"f:1:9: listen: want ${NAME}, or $${ for a literal ${"}},
		{"two unset variables", "listen: ${A}${B}\n", []string{
			"f:1:9: listen: environment variable A is not set", "f:1:9: listen: environment variable B is not set"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root, faults := Parse("f", []byte(c.text), testEnv)
			var config testConfig
			faults = append(faults, root.Decode(&config)...)
			faults.Sort()
			var got []string
			for _, f := range faults {
				got = append(got, f.Error())
				if strings.Contains(f.Error(), "s3cret") {
					t.Errorf("fault of %q holds its text: %s", c.text, f)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q: faults\n  %s\nwant\n  %s", c.text, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestExpansion(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"plain", "v: ${KEY}", "s3cret"},
		{"flow, without quotes", "{v: ${KEY}, w: 1}", "s3cret"},
		{"inside a text", "v: a-${KEY}-b", "a-s3cret-b"},
		{"twice", "v: ${KEY}${FIVE}", "s3cret5"},
		{"double quotes", `v: "${KEY}"`, "s3cret"},
		{"single quotes", "v: '${KEY}'", "s3cret"},
		{"literal block", "v: |-\n  ${KEY}\n", "s3cret"},
		{"json", `{"v": "${KEY}"}`, "s3cret"},
		{"escaped", "v: $${KEY}", "${KEY}"},
		{"escaped, quoted, odd", "v: '$${a-b}'", "${a-b}"},
		{"empty value", "v: '${EMPTY}'", ""},
		{"not expanded again", "v: ${LOOP}", "${KEY}"},
		{"a dollar alone", "v: $5", "$5"},
		{"no name", "v: $KEY", "$KEY"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root, faults := Parse("f", []byte(c.text), testEnv)
			if len(faults) > 0 {
				t.Fatalf("Parse(%q): %v", c.text, faults)
			}
			if v := root.Get("v"); v.Scalar() != c.want || v.Kind() != String {
				t.Errorf("Parse(%q): v = %q, want %q", c.text, v.Scalar(), c.want)
			}
		})
	}
	root, faults := Parse("f", []byte("${KEY}: '${KEY'\n"), nil)
	if len(faults) > 0 || root.Get("${KEY}").Scalar() != "${KEY" {
		t.Errorf("without env: faults %v, %v", faults, root.Map())
	}
	if root, _ = Parse("f", []byte("${KEY}: 1\n"), testEnv); root.Get("${KEY}") == nil {
		t.Errorf("a key was expanded: %v", root.Map())
	}
}

func TestNearest(t *testing.T) {
	root, _ := Parse("f", []byte("upstreams:\n  a: {timeout: 1s}\n  ab:\n    list:\n      - x: 1\n"), nil)
	for path, want := range map[string]string{
		"upstreams.a.timeout":      "upstreams.a.timeout",
		"upstreams.a.base_url":     "upstreams.a",
		"upstreams.ab.list[0].x":   "upstreams.ab.list[0].x",
		"upstreams.ab.list[1].x":   "upstreams.ab.list",
		"upstreams.abc":            "upstreams",
		"upstreams.ab.list[0].y.z": "upstreams.ab.list[0]",
		"listen":                   "",
	} {
		if got := root.Nearest(path).Path(); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", path, got, want)
		}
	}
	if a := root.Get("upstreams").Map()[1]; a.KeyNode.Line() != 3 || a.Value.Line() != 4 || a.Value.Column() != 5 {
		t.Errorf("ab is at line %d, its value at %d:%d", a.KeyNode.Line(), a.Value.Line(), a.Value.Column())
	}
}
