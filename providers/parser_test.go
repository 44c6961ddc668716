package providers

import (
	"errors"
	"strings"
	"testing"
)

func newParser(t testing.TB, provider string, fixed map[string]string) *Parser {
	t.Helper()
	p, err := NewParser(builtins(t).Get(provider), fixed)
	if err != nil {
		t.Fatalf("NewParser(%s) = %v", provider, err)
	}
	return p
}

func TestParseURL(t *testing.T) {
	long := strings.Repeat("a", 256)
	tests := []struct {
		name, provider, path, query string
		want                        string // values joined by "|", or the error
	}{
		{"one value", "shannon", "task-1", "", "task-1"},
		{"documented pattern", "shannon", "a:b_c-d.e", "", "a:b_c-d.e"},
		{"against the pattern", "shannon", "a~b", "", "task_id does not have the form that the provider's ids have"},
		{"longer than the pattern", "vessl", "abcdefghijklmnopq", "", "request_id does not have the form that the provider's ids have"},
		{"case is not folded", "vessl", "ABC", "", "request_id does not have the form that the provider's ids have"},
		{"order of the file", "orq", "my-agent/01K6", "", "my-agent|01K6"},
		{"escaped slash and blank", "orq", "my%20agent%2Fx/01K6", "", "my agent/x|01K6"},
		{"lower-case escape", "orq", "a%2fb/01K6", "", "a/b|01K6"},
		{"decoded once", "orq", "a%252Fb/01K6", "", "a%2Fb|01K6"},
		{"UTF-8", "orq", "%C3%A9/01K6", "", "é|01K6"},
		{"no normal form", "orq", "e%CC%81/01K6", "", "e\u0301|01K6"},
		{"sub-delims and path parameters", "orq", "a;b=c,d/01K6", "", "a;b=c,d|01K6"},
		{"colon and at", "orq", "a:b@c/01K6", "", "a:b@c|01K6"},
		{"plus in a path", "orq", "a+b/01K6", "", "a+b|01K6"},
		{"longest", "orq", long + "/01K6", "", long + "|01K6"},
		{"ids merely shown", "aitronos", "any.thing~1", "", "any.thing~1|"},
		{"optional scope", "aitronos", "resp_1", "organizationId=org_1", "resp_1|org_1"},
		{"scope", "gumloop", "abc", "user_id=u", "abc|u|"},
		{"both scopes, any order", "gumloop", "abc", "project_id=p&user_id=u", "abc|u|p"},
		{"plus in a query is a plus", "gumloop", "abc", "user_id=a+b", "abc|a+b|"},
		{"blank in a query", "gumloop", "abc", "user_id=a%20b", "abc|a b|"},
		{"equals sign in a value", "gumloop", "abc", "user_id=a=b", "abc|a=b|"},
		{"the id is in the upstream's query", "gumloop-flow", "run1", "user_id=u", "run1|u|"},

		{"nothing", "shannon", "", "", "path wants {task_id}"},
		{"too few", "orq", "01K6", "", "path wants {agent_key}/{task_id}"},
		{"too many", "shannon", "a/b", "", "path wants {task_id}"},
		{"trailing slash", "shannon", "a/", "", "path wants {task_id}"},
		{"empty segment", "orq", "/01K6", "", "agent_key is empty"},
		{"too long", "orq", long + "a/01K6", "", "agent_key is longer than 256 bytes"},
		{"dot segment", "orq", "./01K6", "", "agent_key has a dot segment"},
		{"dot segments", "orq", "../01K6", "", "agent_key has a dot segment"},
		{"escaped dot segments", "orq", "%2e%2E/01K6", "", "agent_key has a dot segment"},
		{"dot segments behind a slash", "orq", "a%2F..%2Fb/01K6", "", "agent_key has a dot segment"},
		{"dots that are none", "orq", "a..b/...", "", "a..b|..."},
		{"NUL", "orq", "a%00/01K6", "", "agent_key has a control character"},
		{"CR LF", "orq", "a%0d%0aX:1/01K6", "", "agent_key has a control character"},
		{"DEL", "orq", "a%7f/01K6", "", "agent_key has a control character"},
		{"C1 control", "orq", "a%C2%85/01K6", "", "agent_key has a control character"},
		{"backslash", "orq", "a%5cb/01K6", "", "agent_key has a backslash"},
		{"raw backslash", "orq", `a\b/01K6`, "", "agent_key has a backslash"},
		{"invalid UTF-8", "orq", "a%ff/01K6", "", "agent_key is not valid UTF-8"},
		{"overlong UTF-8", "orq", "%c0%ae/01K6", "", "agent_key is not valid UTF-8"},
		{"surrogate", "orq", "%ed%a0%80/01K6", "", "agent_key is not valid UTF-8"},
		{"cut escape", "orq", "a%2/01K6", "", "agent_key has a malformed percent-escape"},
		{"no hex", "orq", "a%zz/01K6", "", "agent_key has a malformed percent-escape"},
		{"raw blank", "orq", "a b/01K6", "", "agent_key has a byte that must be percent-encoded"},
		{"raw UTF-8", "orq", "é/01K6", "", "agent_key has a byte that must be percent-encoded"},
		{"fragment", "orq", "a#b/01K6", "", "agent_key has a byte that must be percent-encoded"},
		{"none of one_of", "gumloop", "abc", "", "query wants one of user_id, project_id"},
		{"twice", "gumloop", "abc", "user_id=u&user_id=u", "user_id is sent twice"},
		{"empty value", "gumloop", "abc", "user_id=", "user_id is empty"},
		{"no value", "gumloop", "abc", "user_id", "user_id is empty"},
		{"undeclared", "gumloop", "abc", "user_id=u&page=1", "query holds a parameter that the provider does not have"},
		{"case of a name", "gumloop", "abc", "User_id=u", "query holds a parameter that the provider does not have"},
		{"escaped name", "gumloop", "abc", "user%5fid=u", "query holds a parameter that the provider does not have"},
		{"empty pair", "gumloop", "abc", "user_id=u&&project_id=p", "query holds a parameter that the provider does not have"},
		{"a path parameter in the query", "shannon", "a", "task_id=a", "query holds a parameter that the provider does not have"},
		{"the id in the query", "gumloop-flow", "a", "run_id=a&user_id=u", "query holds a parameter that the provider does not have"},
	}
	var v View
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParser(t, test.provider, nil)
			if got := outcomeOf(p.ParseURL(&v, []byte(test.path), []byte(test.query)), &v); got != test.want {
				t.Errorf("ParseURL(%s, %q, %q) = %s, want %s", test.provider, test.path, test.query, got, test.want)
			}
		})
	}
}

func outcomeOf(err error, v *View) string {
	if err != nil {
		return err.Error()
	}
	return strings.Join(v.Reference().Values, "|")
}

func TestParseURLWithFixedParameters(t *testing.T) {
	tests := []struct{ name, path, query, want string }{
		{"left out", "01K6", "", "my agent|01K6"},
		{"sent, and equal", "my%20agent/01K6", "", "my agent|01K6"},
		{"sent, and different", "other/01K6", "", "agent_key differs from the value that the upstream's config fixes"},
	}
	p := newParser(t, "orq", map[string]string{"agent_key": "my agent"})
	var v View
	for _, test := range tests {
		if got := outcomeOf(p.ParseURL(&v, []byte(test.path), []byte(test.query)), &v); got != test.want {
			t.Errorf("%s: ParseURL(%q) = %s, want %s", test.name, test.path, got, test.want)
		}
	}
	scoped := newParser(t, "gumloop", map[string]string{"user_id": "u"})
	if got := outcomeOf(scoped.ParseURL(&v, []byte("abc"), nil), &v); got != "abc|u|" {
		t.Errorf("with user_id fixed: got %s, want abc|u|", got)
	}
	if got := outcomeOf(scoped.ParseURL(&v, []byte("abc"), []byte("user_id=w")), &v); !strings.Contains(got, "differs") {
		t.Errorf("with another user_id: got %s, want that it differs", got)
	}
}

func TestNewParserFaults(t *testing.T) {
	_, err := NewParser(builtins(t).Get("vessl"), map[string]string{"request_id": "UPPER", "slug": "x"})
	if err == nil {
		t.Fatal("NewParser accepts a value against the pattern and an unknown name")
	}
	for _, want := range []string{"request_id: does not have the form", "slug: is no parameter of provider vessl"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("NewParser = %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "UPPER") {
		t.Errorf("NewParser = %q, which holds the value", err)
	}
}

func TestReferenceErrorsNeverHoldValues(t *testing.T) {
	const canary = "cAnArY"
	var v View
	for _, p := range []*Parser{newParser(t, "orq", nil), newParser(t, "gumloop", nil)} {
		for _, path := range []string{canary + "%00", canary + "/" + canary + "/" + canary, "a/" + canary + "%", canary} {
			for _, query := range []string{"", canary + "=1", "user_id=" + canary + "%00"} {
				err := p.ParseURL(&v, []byte(path), []byte(query))
				var reference *ReferenceError
				if err != nil && (!errors.As(err, &reference) || strings.Contains(err.Error(), canary)) {
					t.Errorf("ParseURL(%q, %q) = %v, want a ReferenceError without the value", path, query, err)
				}
			}
		}
	}
}

func TestStringFormComesBack(t *testing.T) {
	for provider, values := range map[string][]string{
		"orq":          {"my agent/x", "01K6"},
		"shannon":      {"a:b.c"},
		"gumloop":      {"é+&=", "u+v w%", ""},
		"gumloop-flow": {"run 1", "", "p#?"},
		"aitronos":     {"resp;1", ""},
	} {
		p := newParser(t, provider, nil)
		s := p.Format(Reference{values})
		got, err := p.ParseString(s)
		if err != nil || strings.Join(got.Values, "|") != strings.Join(values, "|") {
			t.Errorf("ParseString(Format(%q) = %q) = %q, %v", values, s, got.Values, err)
		}
		var v View
		path, query, _ := strings.Cut(s, "?")
		if err := p.ParseURL(&v, []byte(path), []byte(query)); err != nil {
			t.Errorf("ParseURL(%q) = %v", s, err)
		}
	}
}

func TestParseStringTakesPlainText(t *testing.T) {
	got, err := newParser(t, "orq", nil).ParseString("mein ägent/01K6")
	if err != nil || got.Values[0] != "mein ägent" {
		t.Errorf("ParseString = %q, %v, want the text as it is", got.Values, err)
	}
	if _, err := newParser(t, "orq", nil).ParseString("a\x00b/01K6"); err == nil {
		t.Error("ParseString accepts a NUL")
	}
}

func TestFromValues(t *testing.T) {
	tests := []struct {
		name, provider string
		id             []string
		params         map[string]string
		want           string
	}{
		{"in order", "orq", []string{"my agent/x", "01K6"}, nil, "my agent/x|01K6"},
		{"with scope", "gumloop", []string{"abc"}, map[string]string{"user_id": "u"}, "abc|u|"},
		{"not decoded", "orq", []string{"a%2Fb", "01K6"}, nil, "a%2Fb|01K6"},
		{"all by name", "orq", nil, map[string]string{"agent_key": "a", "task_id": "1"}, "a|1"},
		{"too few", "orq", []string{"01K6"}, nil, "path wants {agent_key}/{task_id}"},
		{"unknown", "gumloop", []string{"abc"}, map[string]string{"user_id": "u", "x": "1"}, "params holds a parameter that the provider does not have, or one that is in id"},
		{"in id and params", "shannon", []string{"a"}, map[string]string{"task_id": "b"}, "params holds a parameter that the provider does not have, or one that is in id"},
		{"none of one_of", "gumloop", []string{"abc"}, nil, "query wants one of user_id, project_id"},
		{"dot segment", "orq", []string{"..", "01K6"}, nil, "agent_key has a dot segment"},
		{"empty", "gumloop", []string{""}, map[string]string{"user_id": "u"}, "interaction_id is empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := newParser(t, test.provider, nil).FromValues(test.id, test.params)
			got := strings.Join(r.Values, "|")
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("FromValues(%q, %q) = %s, want %s", test.id, test.params, got, test.want)
			}
		})
	}
}

func TestTaskID(t *testing.T) {
	for provider, ref := range map[string]string{"orq": "agent/01K6", "gumloop-flow": "01K6?user_id=u", "aitronos": "01K6?organizationId=o"} {
		p := newParser(t, provider, nil)
		r, err := p.ParseString(ref)
		if err != nil || p.TaskID(r) != "01K6" {
			t.Errorf("TaskID of %s %q = %q, %v, want 01K6", provider, ref, p.TaskID(r), err)
		}
	}
}

func TestParsingDoesNotAllocate(t *testing.T) {
	orq, flow := newParser(t, "orq", nil), newParser(t, "gumloop-flow", nil)
	shannon := newParser(t, "shannon", nil)
	var v View
	method, path, query := []byte("GET"), []byte("/get_pl_run"), []byte("run_id=run1&user_id=u&project_id=p")
	for name, parse := range map[string]func() bool{
		"ParseURL escaped": func() bool { return orq.ParseURL(&v, []byte("my%20agent%2Fx/01K6D8QESESZ6SAXQPJPFQXPFT"), nil) == nil },
		"ParseURL pattern": func() bool { return shannon.ParseURL(&v, []byte("task-0f2c-1761129000"), nil) == nil },
		"ParseURL query":   func() bool { return flow.ParseURL(&v, []byte("run1"), []byte("user_id=u&project_id=p")) == nil },
		"MatchPoll":        func() bool { return flow.MatchPoll(&v, method, path, query) },
	} {
		if !parse() {
			t.Fatalf("%s: not read", name)
		}
		if allocs := testing.AllocsPerRun(100, func() { parse() }); allocs != 0 {
			t.Errorf("%s makes %v allocations, want 0", name, allocs)
		}
	}
}
