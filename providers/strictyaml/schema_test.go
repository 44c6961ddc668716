package strictyaml

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// either is a word, or a list of them, as loaders write such things.
type either []string

func (e *either) UnmarshalNode(n *Node) Faults {
	nodes := []*Node{n}
	if n.Kind() == List {
		nodes = n.List()
	}
	*e = make(either, len(nodes))
	var faults Faults
	for i, node := range nodes {
		faults = append(faults, node.Decode(&(*e)[i])...)
	}
	return faults
}

// chosen is a word, or a mapping that says more.
type chosen struct{ word string }

func (c *chosen) UnmarshalNode(n *Node) Faults {
	if n.Kind() != Map {
		return n.Decode(&c.word)
	}
	var more struct {
		Word string `yaml:"word"`
	}
	return n.Decode(&more)
}

// opaque reads the text itself, and does not say what it may be.
type opaque struct{ text string }

func (o *opaque) UnmarshalNode(n *Node) Faults {
	o.text = n.Scalar()
	return nil
}

type inner struct {
	Size Bytes `yaml:"size"`
}

// linked holds itself.
type linked struct {
	Next *linked `yaml:"next"`
}

func TestSchema(t *testing.T) {
	object := func(properties string) string {
		return `{"type":["object","null"],"properties":` + properties + `,"additionalProperties":false}`
	}
	for _, test := range []struct {
		name      string
		of        any
		variables bool
		want      string
	}{
		{"string", "", true, `{"type":"string"}`},
		{"flag", false, false, `{"type":"boolean"}`},
		{"flag or variable", false, true, `{"anyOf":[{"type":"boolean"},{"type":"string","pattern":"\\$\\{"}]}`},
		{"list", []float64{}, false, `{"type":["array","null"],"items":{"type":"number"}}`},
		{"mapping", map[string]int{}, false, `{"type":["object","null"],"additionalProperties":{"type":"integer"}}`},
		{"word or list", either{}, false, `{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}`},
		{"word or mapping", chosen{}, false, `{"anyOf":[{"type":"string"},` + object(`{"word":{"type":"string"}}`) + `]}`},
		{"anything", opaque{}, false, `true`},
		{"embedded and hidden fields", struct {
			inner
			Hidden string
			Flag   *bool `yaml:"flag"`
		}{}, false, object(`{"size":{"anyOf":[{"type":"integer","minimum":0},{"type":"string","pattern":"^[0-9]+ *([KMGT]iB|[kMGT]?B)?$|\\$\\{"}]},"flag":{"type":"boolean"}}`)},
		{"holds itself", linked{}, false, object(`{"next":true}`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.Marshal(Schema(reflect.TypeOf(test.of), test.variables))
			if err != nil {
				t.Fatal(err)
			}
			var gotValue, wantValue any
			if json.Unmarshal(got, &gotValue) != nil || json.Unmarshal([]byte(test.want), &wantValue) != nil {
				t.Fatalf("no JSON: %s, %s", got, test.want)
			}
			if !reflect.DeepEqual(gotValue, wantValue) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if s := Schema(reflect.TypeFor[time.Duration](), false); len(s.AnyOf) != 2 {
		t.Errorf("durations: got %v", s)
	}
}
