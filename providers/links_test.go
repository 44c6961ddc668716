package providers

import (
	"strings"
	"testing"
)

func TestRewriteLinks(t *testing.T) {
	through := func(link string) string { return strings.Replace(link, "https://up", "https://pollux/native", 1) }
	for _, tt := range []struct{ name, paths, body, want string }{
		{"string", "a", `{ "a" : "https://up/1", "b":"https://up/2"}`, `{ "a" : "https://pollux/native/1", "b":"https://up/2"}`},
		{"escaped", "a", `{"a":"https:\/\/up\/1?x=1&y=\u0022"}`, `{"a":"https://pollux/native/1?x=1&y=\""}`},
		{"object", "urls", `{"urls":{"get":"https://up/1","n":1,"deep":["https://up/2"]}}`, `{"urls":{"get":"https://pollux/native/1","n":1,"deep":["https://pollux/native/2"]}}`},
		{"search", "items.#.href", `{"items":[{"href":"https://up/1"},{"x":1},{"href":"https://up/3"}]}`, `{"items":[{"href":"https://pollux/native/1"},{"x":1},{"href":"https://pollux/native/3"}]}`},
		{"twice found", "a a", `{"a":"https://up/1"}`, `{"a":"https://pollux/native/1"}`},
		{"elsewhere", "a", `{"a":"https://other/1"}`, `{"a":"https://other/1"}`},
		{"no string", "a", `{"a":1}`, `{"a":1}`},
		{"absent", "b", `{"a":1}`, `{"a":1}`},
		{"no JSON", "a", `{"a":"https://up/1"`, `{"a":"https://up/1"`},
	} {
		if got := string(RewriteLinks([]byte(tt.body), strings.Fields(tt.paths), through)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
