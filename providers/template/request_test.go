package template_test

import (
	"slices"
	"testing"

	"pollux/providers/template"
)

func params() template.Params {
	return template.Params{
		{Name: "group", In: "path", Max: template.DefaultMax},
		{Name: "id", In: "path", Task: true, Slashes: true, Max: template.DefaultMax},
		{Name: "shard", In: "query", Number: true, Max: 9},
		{Name: "note", In: "query", Optional: true, Max: template.DefaultMax},
	}
}

func parse(t testing.TB, text string, wild bool) template.Request {
	t.Helper()
	r, faults := template.Parse(text, params(), wild)
	if len(faults) > 0 {
		t.Fatalf("Parse(%q): %q", text, faults)
	}
	return r
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"/v1/{id}":           "want a method and a path, such as GET /v1/jobs/{id}",
		"LIST /v1/{id}":      "want a method and a path, such as GET /v1/jobs/{id}",
		"GET v1/{id}":        "want a method and a path, such as GET /v1/jobs/{id}",
		"GET /v1//{id}":      "the path has an empty segment",
		"GET /v1/{id}{note}": "a path segment may hold one {param}",
		"GET /v1/id}":        "a path segment may hold one {param}",
		"GET /v1/../{id}":    "the path holds a character or dot segment that must not stand in one",
		"GET /%zz/{id}":      "the path holds a character or dot segment that must not stand in one",
		"GET /v1/{job}":      "{job} is no parameter of this file",
		"GET /{id}?shard":    "the query wants name=value, joined by &",
		"GET /{id}?v=":       "a value in the query is {param} or plain text",
		"GET /{id}?v=a b":    "a value in the query is {param} or plain text",
	} {
		if _, faults := template.Parse(text, params(), false); !slices.Equal(faults, []string{want}) {
			t.Errorf("Parse(%q): %q, want %q", text, faults, want)
		}
	}
	parse(t, "POST /v1/{job}:run", true)
}

// FuzzValuesComeBack: what values make of a path, a query and a body is read
// back as the same values, and another template's is not.
func FuzzValuesComeBack(f *testing.F) {
	for _, seed := range [][4]string{{"g", "jobs/1", "7", ""}, {"a b", "x", "-1.5", "+&=%"}, {"é/ü", "a:b@c", "1e3", `"\`}, {".", "//", "x", "\x00"}, {"g", "1", "0 ", ""}} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	r := parse(f, "GET /v1/{group}/jobs/{id}:get?view=full&shard={shard}", false)
	ps := params()
	var body template.Body
	for i, p := range ps {
		m, fault := template.ParseMember(p.Name, "{"+p.Name+"}", p.Number, ps)
		if fault != "" || m.Param != i {
			f.Fatalf("ParseMember(%s) = %+v, %q", p.Name, m, fault)
		}
		body = append(body, m)
	}
	f.Fuzz(func(t *testing.T, group, id, shard, note string) {
		values := []string{group, id, shard, note}
		for i, value := range values {
			if value == "" && ps[i].Optional {
				continue
			}
			if ps[i].Fault([]byte(value)) != "" {
				return
			}
		}
		got := make([]string, len(ps))
		escaped := func(i int, value []byte) bool {
			decoded, fault := template.Unescape(nil, value, false)
			got[i] = string(decoded)
			return fault == ""
		}
		path, query := r.AppendPath(nil, values), r.AppendQuery(nil, ps, values, nil)
		if !r.MatchPath(path, escaped) || !r.MatchQuery(query, ps, escaped) || !slices.Equal(got, values) {
			t.Errorf("%q makes %s?%s, which is read as %q", values, path, query, got)
		}
		if r.MatchPath(append(path, 'x'), escaped) || r.MatchQuery(append(query, "&more=1"...), ps, escaped) {
			t.Errorf("more than %s?%s matches, too", path, query)
		}
		clear(got)
		plain := func(i int, value []byte) bool { got[i] = string(value); return true }
		if sent := body.Render(values); !body.Match(sent, ps, plain) || !slices.Equal(got, values) {
			t.Errorf("%q makes %s, which is read as %q", values, sent, got)
		}
	})
}
