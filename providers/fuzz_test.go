package providers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"pollux/normalize"
)

// FuzzJudge: whatever an upstream sends, a verdict is one of ours, a document
// is JSON about the task that was asked for, and the same answer judged twice
// is the same.
func FuzzJudge(f *testing.F) {
	names := []string{"aitronos", "gumloop", "gumloop-flow", "orq", "shannon", "vessl", "azure-async", "fal", "github-actions", "google-lro", "http-202", "snowflake"}
	for i, name := range names {
		for _, recorded := range fixtures(f, name) {
			f.Add(byte(i), recorded.HTTPStatus, recorded.Headers["Content-Type"], recorded.body())
		}
	}
	f.Fuzz(func(t *testing.T, provider byte, code int, contentType string, body []byte) {
		p := builtins(t).Get(names[int(provider)%len(names)])
		recorded := fixture{Recording: &Recording{RecordedAnswer: RecordedAnswer{Body: body}}, provider: p}
		r := recorded.reference(t)
		h := http.Header{"Content-Type": {contentType}}
		v := p.Judge(r, code, h, bytes.Clone(body), noon)
		if v.Kind < Answered || v.Kind > TooSlow || v.Kind != Answered && v.Reason == "" {
			t.Fatalf("Judge(%d, %q) = kind %d, reason %q", code, body, v.Kind, v.Reason)
		}
		if v.Kind != Answered {
			return
		}
		if !p.IsDocument(code) || !v.Task.Status.Valid() || v.Task.ID != p.taskID(r) {
			t.Fatalf("Judge(%d, %q) = status %q of task %q, asked for %q", code, body, v.Task.Status, v.Task.ID, p.taskID(r))
		}
		if v.UnknownWord && v.Task.Status.Terminal() {
			t.Fatalf("Judge(%q) = an unknown word that is the terminal %s", body, v.Task.Status)
		}
		document := v.Task.AppendJSON(nil)
		if !json.Valid(document) {
			t.Fatalf("the document of %q is not JSON: %q", body, document)
		}
		again := p.Judge(r, code, h, bytes.Clone(body), noon)
		if again.Digest != v.Digest || !bytes.Equal(again.Task.AppendJSON(nil), document) {
			t.Fatalf("%q is judged in two ways", body)
		}
	})
}

// FuzzParseURL: a reference that is read has a canonical form that is read
// back to the same values, and the upstream sees a path of exactly its
// template's segments.
func FuzzParseURL(f *testing.F) {
	names := []string{"aitronos", "gumloop", "orq", "shannon"}
	for _, seed := range []struct{ path, query string }{
		{"task-1", ""}, {"my%20agent%2Fx/01K6", ""}, {"abc", "user_id=a%26b+c"}, {"%2e%2e/x", ""}, {"a%00", ""}, {"%c0%ae", "x=1&x=2"}, {"r", "organizationId=%2F"},
	} {
		for i := range names {
			f.Add(byte(i), seed.path, seed.query)
		}
	}
	base := &url.URL{Scheme: "http", Host: "upstream"}
	f.Fuzz(func(t *testing.T, provider byte, path, query string) {
		parser := newParser(t, names[int(provider)%len(names)], nil)
		var v View
		if parser.ParseURL(&v, []byte(path), []byte(query)) != nil {
			return
		}
		r := v.Reference()
		again, err := parser.ParseString(parser.Format(r))
		if err != nil || !slices.Equal(again.Values, r.Values) {
			t.Fatalf("%q?%q: Format = %q, read back as %q, %v", path, query, parser.Format(r), again.Values, err)
		}
		req, err := parser.provider.PollRequest(t.Context(), base, r, Credential{})
		if err != nil {
			t.Fatalf("%q?%q: PollRequest = %v", path, query, err)
		}
		parsed, err := url.ParseRequestURI(req.URL.RequestURI())
		if err != nil || parsed.EscapedPath() != req.URL.EscapedPath() {
			t.Fatalf("%q?%q: sent %q, which is read as %q, %v", path, query, req.URL.RequestURI(), parsed.EscapedPath(), err)
		}
		var sent View
		if !parser.MatchPoll(&sent, []byte("GET"), []byte(parsed.EscapedPath()), []byte(parsed.RawQuery)) {
			t.Fatalf("%q?%q: sent %q, which is not this provider's poll", path, query, req.URL.RequestURI())
		}
		if got := sent.Reference(); !slices.Equal(got.Values, r.Values) {
			t.Fatalf("%q?%q: the upstream is asked for %q, not %q", path, query, got.Values, r.Values)
		}
	})
}

// FuzzRetryAfter: a wait is never negative.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "99999999999999999999", "-1", "Tue, 24 Nov 2026 12:00:30 GMT", "Tuesday, 24-Nov-26 12:00:30 GMT", "Tue Nov 24 12:00:30 2026"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait, ok := RetryAfter(value, noon); wait < 0 || !ok && wait != 0 {
			t.Errorf("RetryAfter(%q) = %v, %v", value, wait, ok)
		}
	})
}

// FuzzLoad: a file is either refused or makes a provider that can be used.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	bad, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, bad...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal("fuzz")))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Load(fstest.MapFS{"fuzz.yaml": {Data: data}})
		if err != nil {
			return
		}
		p := set.Get("fuzz")
		parser, err := NewParser(p, nil)
		if err != nil {
			t.Fatalf("%q: NewParser = %v", data, err)
		}
		values := make([]string, len(p.Params))
		for i, param := range p.Params {
			values[i] = "a"
			if param.Pattern != nil && !param.Pattern.Match([]byte("a")) {
				return
			}
		}
		r := Reference{values}
		if _, err := p.PollRequest(t.Context(), &url.URL{Scheme: "http", Host: "h"}, r, Credential{}); err != nil {
			t.Errorf("%q: PollRequest = %v", data, err)
		}
		if _, err := parser.ParseString(parser.Format(r)); err != nil {
			t.Errorf("%q: ParseString(%q) = %v", data, parser.Format(r), err)
		}
		if v := p.Judge(r, 200, nil, []byte(`{"status":"completed"}`), noon); v.Kind == Answered && v.Task.Status == normalize.Status("") {
			t.Errorf("%q: a document without a status", data)
		}
	})
}
