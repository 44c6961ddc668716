package strictyaml

import (
	"reflect"
	"testing"
	"time"
)

func TestDecodeKeepsDefaults(t *testing.T) {
	shared := &testRate{Requests: 7}
	config := testConfig{
		testInline: testInline{Listen: ":1"}, Ratio: 0.5, Names: []string{"a"},
		Upstreams: map[string]testUpstream{"s": {BaseURL: "http://s", Timeout: time.Second, Rate: shared}, "t": {Rate: shared}},
	}
	root, faults := Parse("f", []byte(`
names: [b, c]
burst: 3
failures: ${FIVE}
upstreams:
  s: {timeout: 1m30s, params: {id: "1"}, rate: {requests: 9}}
  t: {rate: }
  u:
`), testEnv)
	if faults = append(faults, root.Decode(&config)...); len(faults) > 0 {
		t.Fatal(faults)
	}
	want := testConfig{
		testInline: testInline{Listen: ":1"}, Ratio: 0.5, Names: []string{"b", "c"}, Burst: 3, Failures: 5,
		Upstreams: map[string]testUpstream{
			"s": {BaseURL: "http://s", Timeout: 90 * time.Second, Params: map[string]string{"id": "1"}, Rate: &testRate{Requests: 9}},
			"t": {}, "u": {},
		},
	}
	if !reflect.DeepEqual(config, want) {
		t.Errorf("got  %+v\nwant %+v", config, want)
	}
	if shared.Requests != 7 {
		t.Errorf("decoding changed what a default points to: %d", shared.Requests)
	}
}

// retention shows a type that reads more than one form.
type retention struct {
	Forever bool
	For     time.Duration
}

func (r *retention) UnmarshalNode(n *Node) Faults {
	if n.Scalar() == "forever" {
		*r = retention{Forever: true}
		return nil
	}
	return n.Decode(&r.For)
}

func TestUnmarshaler(t *testing.T) {
	for text, want := range map[string]string{
		"r: forever": "", "r: 24h": "", "r: never": "f:1:4: r: want a duration such as 10s", "r: ${NOPE}": "f:1:4: r: environment variable NOPE is not set",
	} {
		var out struct {
			R *retention `yaml:"r"`
		}
		root, faults := Parse("f", []byte(text), testEnv)
		if got := append(faults, root.Decode(&out)...).Error(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "512": 512, "16KiB": 16 << 10, "256MiB": 256 << 20, "2 GiB": 2 << 30, "1TiB": 1 << 40, "5kB": 5000, "3MB": 3e6, "7B": 7,
	} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
		if again, err := ParseBytes(got.String()); err != nil || again != got {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", got.String(), again, err, got)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1mib", "9223372036854775807KiB", "1e3", "+1", " 1"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"get", "wait", "watch", "list", "completion", "upstreams"}
	for word, want := range map[string]string{
		"wiat": "wait", "wtach": "watch", "lst": "list", "comp": "completion", "upstream": "upstreams", "gte": "get", "x": "", "": "", "dashboard": "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}
