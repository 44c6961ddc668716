package normalize

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

var goodPaths = []string{
	"status", "usage.input_tokens", "a|b", "a.0.b", `fav\.movie`, `\@type`, `a\#b`, "child*.2", "c?ildren.0", "*",
	"friends.#", "friends.#.age", "friends|#",
	`friends.#(last=="Murphy").first`, `friends.#(last=="Murphy")#.first`, "friends.#(age>45)#.last", "f.#(age>=-4.5e3)",
	`friends.#(first%"D*").last`, `friends.#(first!%"D*").last`, `children.#(!%"*a*")`, `children.#(%"*a*")#`,
	`friends.#(nets.#(=="fb"))#.first`, "vals.#(b==~true)#.a", "vals.#(b!=~*)#.a", "friends.#(name)", `f.#(a == "x")`,
	`f.#(a=="x)y|z")#|0`, "a.#(b=true)", `a.#(b.c\.d=="e")`,
	"children.@reverse.0", "messages|@reverse|0", "@this", "@this.a", `a.@flatten:{"deep":true}`, "a|@flatten", "@pretty:{\"sortKeys\":true}|a",
	"@dig:name", "@dig:a.b|0", "a.@keys", "a.@values.#", "a|@tostr", "a.@fromstr.b", "[a|@join]", "a.@group", "@ugly", "a.@valid",
	"{name.first,age,\"the_murphys\":friends.#(last=\"Murphy\")#.first}", "[a,b.c]", "[a,[b,{c}]].0", `a.#.[b,c]`, "{x:y}",
	`{name.first,age,"company":!"Happysoft","employed":!true}`, "!true", `!{"a":1}.a`, `!"x"`, "!12", "a|!true",
	`output.#(role=="assistant")#.[content,content.#(type=="output_text")#.text]`,
	`[output.#(role=="agent")#.parts.#(kind=="data")#.data|@flatten].0.0`,
	`[@this].#(kind=="task").id`, `messages|@reverse|#(role=="assistant").parts.#(type=="text")#.text`,
	"é.ключ", "a b.c", "a:b", "a,b", "$ref",
}

var badPaths = []string{
	"", ".", "a.", ".a", "a..b", "a|", "|a", "a.|b", "..#", "..0.a",
	"a[0]", "a]", "a)", "a}", "[a", "[a}", "{a]", "{a", "[]", "{}", "[a,]", "[,a]", "[a, b]", "[a]b", `["x":a]`, "{:a}", `{"x:a}`, "{a:}",
	`{"x"y:a}`, "[a.]", "[@nosuch]",
	"#x", "a.#x", "a.##", "a#b", "a.#(", "a.#()", "a.#(b", `a.#(b=="x)`, "a.#(b==)", "a.#(b==x)", "a.#(b==null)", "a.#(b!x)", "a.#(b=~x)",
	"a.#(b)x", "a.#(b)##", `a.#(b=="x"y)`, "a.#[b==1]", "a.#(.b==1)", "a.#(b..c==1)", "a.#(=)", "a.#(])",
	"@nosuch", "a.@nosuch", "@", "@reverse:x", "@flatten:deep", "@flatten:{x", "@flatten:[1]", "@pretty:", "@dig", "@dig:", "@dig:a..b", "@thisx",
	`a\`, "a\x00", "a\nb", "a\xff", `"a"`, " a", "a ", "a. b",
	"!", "!x", "!nan", "!null2", `!"x".a`, "!12|a", "a.!true", "!{x}", "!{", "a.!x",
	"a.@fromstr.@fromstr", "a.@fromstr|@valid", "a.@fromstr.@dig:x", "[a.@fromstr]|0|@pretty", `a.@fromstr|@flatten:{"deep":true}`,
}

func TestCheckPath(t *testing.T) {
	for _, path := range goodPaths {
		if err := CheckPath(path); err != nil {
			t.Errorf("CheckPath(%q) = %v", path, err)
		}
	}
	for _, path := range badPaths {
		if CheckPath(path) == nil {
			t.Errorf("CheckPath(%q) accepts it", path)
		}
	}
}

// An upstream's string must not reach gjson's recursive validator as a value.
func TestDeepTextBehindFromstr(t *testing.T) {
	d := newDocument([]byte(`{"a":"` + nest(5000) + `"}`))
	if raw, _ := d.lookup("a.@fromstr"); raw != "" {
		t.Errorf("lookup found a value nested 5000 deep")
	}
	d = newDocument([]byte(`{"a":"{\"b\":[1,2]}","c":"{broken"}`))
	if raw, _ := d.lookup("a.@fromstr.b"); raw != "[1,2]" {
		t.Errorf("lookup in a decoded string = %q", raw)
	}
	if raw, _ := d.lookup("c.@fromstr"); raw != "" {
		t.Errorf("lookup gives %q, which is not JSON", raw)
	}
}

func TestPlainKeys(t *testing.T) {
	tests := []struct {
		path string
		keys []string
		all  bool
	}{
		{"status", []string{"status"}, true},
		{`a.0|b\.c`, []string{"a", "0", "b.c"}, true},
		{`\@type`, []string{"@type"}, true},
		{"a.b*", []string{"a"}, false},
		{"a.#(b).c", []string{"a"}, false},
		{"[a].0", nil, false},
		{"@this.a", nil, false},
	}
	for _, tt := range tests {
		if keys, all := plainKeys(tt.path); !slices.Equal(keys, tt.keys) || all != tt.all {
			t.Errorf("plainKeys(%q) = %q, %v, want %q, %v", tt.path, keys, all, tt.keys, tt.all)
		}
	}
}

// hostile bodies have what a reader of JSON may stumble over.
var hostile = []struct{ name, provider, json string }{
	{name: "twice, and escaped", json: `{"a\u0062":1,"ab":2,"ab":3,"status":{"ab":4},"st\u0061tus":5}`},
	{name: "twice, and the first is another", json: `{"a":{"x":1},"a":{"b":2},"status":null,"status":{"b":3},"b":[1],"b":[{"c":2}]}`},
	{name: "braces in text", json: " \n{\"a\":\"x{\\\"b\\\":1}[2]\",\"status\":\"[1,2]\",\"b\":[{\"c\":1},{\"c\":\"[\"}],\"output\":\"{}\"}"},
	{name: "odd names", json: `{"":1,"a.b":{"c":2},"0":[3],"@this":4,"#":5,"a|b":6,"*":7}`},
	{name: "a list", json: `[{"a":1,"status":"x"},[2],{"b":"{"}]`},
	{name: "blanks", json: "\t{ \"a\" : { \"b\" : [ 1 , 2 ] } , \"status\" : null }\n"},
}

func FuzzCheckPath(f *testing.F) {
	for _, path := range slices.Concat(goodPaths, badPaths) {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if CheckPath(path) != nil {
			return
		}
		for _, body := range append(hostile, bodies...) {
			d := newDocument([]byte(body.json))
			raw, index := d.lookup(path)
			if raw != "" && !gjson.Valid(raw) {
				t.Errorf("lookup(%q) in %s = %q, which is not JSON", path, body.name, raw)
			}
			if index > 0 && !strings.HasPrefix(body.json[index:], raw) {
				t.Errorf("lookup(%q) in %s: %q is not at %d", path, body.name, raw, index)
			}
			want := strings.TrimSpace(gjson.Get(body.json, path).Raw)
			if strings.TrimSpace(raw) != want && (raw != "" || CheckValue([]byte(want)) == nil) {
				t.Errorf("lookup(%q) in %s = %q, gjson says %q", path, body.name, raw, want)
			}
		}
		keys, all := plainKeys(path)
		if all && len(keys) == 0 {
			t.Errorf("plainKeys(%q) is plain and has no keys", path)
		}
	})
}
