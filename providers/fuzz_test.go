package providers

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pollux/normalize"
	"pollux/providers/format"
	"pollux/providers/signatures"
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
	bad, err := filepath.Glob("format/testdata/bad/*.yaml")
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

// FuzzResult: whatever comes back for a result, a verdict is one of ours, and a
// link leads nowhere that the file does not allow.
func FuzzResult(f *testing.F) {
	for _, name := range []string{"fal", "http-202"} {
		for _, recorded := range fixtures(f, name) {
			if recorded.Result != nil {
				f.Add(recorded.Result.Answer().Code, "application/json", recorded.Result.Answer().Body, "https://cdn.example/r")
			}
		}
	}
	f.Add(200, "text/plain", []byte("text\xff"), "//evil.example/")
	f.Add(422, "", []byte(`{"detail":[{"msg":"m","type":"t"}]}`), "/x/../y?z=1#f")
	p := parse(f, "fetched", fetched)
	base, _ := format.ParseBaseURL(p.BaseURL)
	f.Fuzz(func(t *testing.T, code int, contentType string, body []byte, link string) {
		r := Reference{[]string{"1"}}
		link64, _ := json.Marshal(link)
		first := Answer{200, http.Header{}, []byte(`{"status":"DONE","url":` + string(link64) + `}`)}
		v := p.JudgeResult(r, first, Answer{code, http.Header{"Content-Type": {contentType}}, bytes.Clone(body)}, noon)
		if v.Kind < Answered || v.Kind > TooSlow {
			t.Fatalf("JudgeResult(%d %q) = kind %d", code, body, v.Kind)
		}
		if document := v.Task.AppendJSON(nil); v.Kind == Answered && (!json.Valid(document) || !v.Task.Status.Terminal()) {
			t.Fatalf("the document of %q is %q", body, document)
		}
		req, away, err := p.ResultRequest(t.Context(), base, r, Verdict{ResultLink: link}, Credential{Headers: []Field{{"Authorization", "Bearer k"}}})
		if err != nil {
			return
		}
		if host := strings.ToLower(req.URL.Hostname()); away != (host == "cdn.example") || !away && host != "api.fetched.example" || away && req.Header.Get("Authorization") != "" {
			t.Fatalf("the link %q leads to %s, away %v, with %v", link, req.URL, away, req.Header)
		}
	})
}

// FuzzSweep: an item tells about the task that it names, if that is wanted, and
// about no task twice.
func FuzzSweep(f *testing.F) {
	names := []string{"openai-batches", "slurm", "dbt-cloud", "gemini-batches", "databricks", "github-actions"}
	f.Add(byte(0), []byte(`{"data":[{"id":"batch_1","status":"completed"},{"id":"batch_1","status":"failed"}],"has_more":true,"last_id":"x"}`))
	f.Add(byte(1), []byte(`{"jobs":[{"job_id":41,"job_state":"RUNNING"}]}`))
	f.Add(byte(2), []byte(`{"data":[{"id":5678,"status":3}]}`))
	f.Add(byte(3), []byte(`{"operations":[{"name":"batches/b1","metadata":{"state":"BATCH_STATE_RUNNING"}}],"nextPageToken":"n"}`))
	f.Add(byte(4), []byte(`{"runs":[{"run_id":455,"state":{"life_cycle_state":"RUNNING"}}]}`))
	f.Add(byte(5), []byte(`{"workflow_runs":[{"id":1,"status":"queued","conclusion":null}]}`))
	f.Fuzz(func(t *testing.T, provider byte, body []byte) {
		p := builtins(t).Get(names[int(provider)%len(names)])
		r := Reference{make([]string, len(p.Params))}
		for i := range r.Values {
			r.Values[i] = "1"
		}
		page, v, ok := p.ReadSweep(r, Answer{200, nil, body}, func(id string) bool { return id != "unwanted" }, noon)
		if !ok && v.Reason == "" {
			t.Fatalf("ReadSweep(%q) is no listing for no reason", body)
		}
		seen := map[string]bool{}
		for _, item := range page.Items {
			id := p.taskID(item.Reference)
			if id == "" || id == "unwanted" || seen[id] || item.Verdict.Kind != Answered || item.Verdict.Task.ID != id || !json.Valid(item.Body) {
				t.Fatalf("ReadSweep(%q) tells of %q: %s about %q", body, id, item.Verdict.Kind, item.Verdict.Task.ID)
			}
			seen[id] = true
		}
	})
}

// FuzzInbound: nothing but the right signature is accepted, and no message
// ends the process.
func FuzzInbound(f *testing.F) {
	f.Add(byte(0), "v1,AAAA", "1780405477", []byte(`{"type":"batch.completed","data":{"id":"b"}}`))
	f.Add(byte(1), "sha256=00", "", []byte(`{"workflow_run":{"id":1}}`))
	f.Add(byte(2), "00", "1780405477", []byte(`{"request_id":"r"}`))
	f.Add(byte(3), "token", "", []byte(`{"id":"r"}`))
	names := []string{"openai-batches", "github-actions", "fal", "runpod"}
	f.Fuzz(func(t *testing.T, provider byte, signature, stamp string, body []byte) {
		in := builtins(t).Get(names[int(provider)%len(names)])
		h := http.Header{}
		for _, name := range []string{"Webhook-Signature", "X-Hub-Signature-256", "X-Fal-Webhook-Signature"} {
			h.Set(name, signature)
		}
		h.Set("Webhook-Timestamp", stamp)
		h.Set("X-Fal-Webhook-Timestamp", stamp)
		// A secret that the fuzzer does not know, so whatever it sends is forged.
		m, err := in.Receive(h, url.Values{"token": {signature}}, body, signatures.Sender{Secret: "whsec_" + rand.Text() + "AA"}, noon)
		if err == nil {
			t.Fatalf("%q with %q is accepted as %+v", body, signature, m)
		}
	})
}
