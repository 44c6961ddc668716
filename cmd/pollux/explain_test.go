package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const shannonBody = `{"task_id":"task-1","status":"TASK_STATUS_COMPLETED","result":"42","usage":{"total_tokens":12345678901234567890},"model_used":"m"}`

func TestExplain(t *testing.T) {
	t.Chdir(t.TempDir())
	got := runWith(t, shannonBody, "explain", "shannon", "-")
	if got.code != exitOK {
		t.Fatalf("explain: %+v", got)
	}
	for _, want := range []string{
		`"id": "task-1"`, `"status": "completed"`, `"total_tokens": 12345678901234567890`, `"upstream": "shannon"`,
		"MEMBER", "output.text", "path result", "used", `"TASK_STATUS_COMPLETED"`,
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("explain does not print %s:\n%s", want, got.stdout)
		}
	}
}

func TestExplainJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	got := runWith(t, shannonBody, "explain", "--json", "shannon", "-")
	var out struct {
		Verdict  string `json:"verdict"`
		Document struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"document"`
		Fields []struct {
			Member string          `json:"member"`
			Value  json.RawMessage `json:"value"`
			Tried  []struct{ Source, Outcome string }
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if got.code != exitOK || out.Verdict != "answered" || out.Document.ID != "task-1" || out.Document.Status != "completed" {
		t.Errorf("explain --json: code %d, %+v", got.code, out)
	}
	texts := 0
	for _, f := range out.Fields {
		if f.Member == "output.text" && string(f.Value) == `"42"` && len(f.Tried) > 0 {
			texts++
		}
	}
	if texts != 1 {
		t.Errorf("output.text is explained %d times: %+v", texts, out.Fields)
	}
}

func TestExplainOther(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	writeIn(t, dir, "acme.yaml", acmeProvider)
	cases := []struct {
		name, body string
		args       []string
		code       int
		out        string // in stdout or stderr
	}{
		{"no JSON", "<html>", []string{"shannon"}, exitFailure, "no document: upstream-error"},
		{"another task", shannonBody, []string{"--id", "task-2", "shannon"}, exitFailure, "names another task"},
		{"this task", shannonBody, []string{"--id", "task-1", "shannon"}, exitOK, `"id": "task-1"`},
		{"by parameter", shannonBody, []string{"--param", "task_id=task-2", "shannon"}, exitFailure, "names another task"},
		{"unknown parameter", shannonBody, []string{"--param", "run=1", "shannon"}, exitFailure, "provider shannon has task_id"},
		{"mistyped provider", "{}", []string{"shanon"}, exitFailure, `there is no provider "shanon": did you mean "shannon"?`},
		{"unknown provider", "{}", []string{"nope"}, exitFailure, `there is no provider "nope", there are a2a, airbyte, aitronos`},
		{"not found", `{"error":"Task not found"}`, []string{"--status", "404", "shannon"}, exitOK, "no document: task-not-found"},
		{"broken upstream", `oops`, []string{"--status", "500", "shannon"}, exitOK, "no document: upstream-error"},
		{"unknown word", `{"task_id":"t","status":"DANCING"}`, []string{"shannon"}, exitOK, "counts as unknown"},
		{"unknown word, rescued", `{"task_id":"t","status":"odd","pending_tool_calls":[{"id":"c"}]}`, []string{"orq"}, exitOK, "comes from a rule"},
		{"a code that is no document", `{}`, []string{"--status", "202", "shannon"}, exitOK, "202   upstream-error  (this answer)"},
		{"a code that decides", ``, []string{"--status", "202", "http-202"}, exitOK, "202   a document: in_progress, whatever its word  (this answer)"},
		{"a document's code", `{"status":"IN_QUEUE"}`, []string{"--status", "202", "fal"}, exitOK, `"status": "queued"`},
		{"a document without a status", `{}`, []string{"--status", "202", "fal"}, exitFailure, "no document: upstream-error"},
		{"a header", ``, []string{"--status", "303", "--header", "Location: /things/1", "http-202"}, exitOK, "request of its own: /things/1."},
		{"a result to come", `{"status":"COMPLETED","request_id":"r"}`, []string{"fal"}, exitOK, "request of its own: GET /{owner}/{app}/requests/{request_id}."},
		{"no result", `{"task_id":"t","status":"RUNNING"}`, []string{"--result", "x.json", "shannon"}, exitFailure, "provider shannon has no result"},
		{"wrong header", `{}`, []string{"--header", "x", "shannon"}, exitUsage, "want 'Name: value'"},
		{"own provider", `{"id":"j","state":"DONE","result":"r"}`, []string{"--provider-dir", dir, "acme"}, exitOK, `"provider": "acme"`},
		{"no such directory", `{}`, []string{"--provider-dir", "nowhere", "acme"}, exitFailure, "is not a directory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, c.body, append(append([]string{"explain"}, c.args...), "-")...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.out) {
				t.Errorf("explain %q: code %d, want %d and %q\n%s%s", c.args, got.code, c.code, c.out, got.stdout, got.stderr)
			}
		})
	}
}

func TestExplainReadsProviderDirOfAConfigWithFaults(t *testing.T) {
	dir := t.TempDir()
	writeIn(t, dir, "acme.yaml", acmeProvider)
	body := write(t, "body.json", `{"id":"j","state":"RUNNING"}`)
	config := write(t, "config.yaml", "provider_dir: "+dir+"\nnonsense: ${NOPE}\n")
	got := runWith(t, "", "explain", "acme", body, "--config", config)
	if got.code != exitOK || !strings.Contains(got.stdout, `"status": "in_progress"`) {
		t.Errorf("explain: %+v", got)
	}
}

func TestExplainResult(t *testing.T) {
	t.Chdir(t.TempDir())
	const completed = `{"status":"COMPLETED","request_id":"r"}`
	result := write(t, "result.json", `{"images":[{"url":"u"}],"seed":196619188014358660}`)
	got := runWith(t, completed, "explain", "--result", result, "fal", "-")
	if got.code != exitOK || !strings.Contains(got.stdout, `"seed": 196619188014358660`) || !strings.Contains(got.stdout, "the whole result") || strings.Contains(got.stdout, "Give the answer") {
		t.Errorf("explain --result: %+v", got)
	}
	failed := write(t, "failed.json", `{"detail":[{"msg":"field required","type":"missing"}]}`)
	got = runWith(t, completed, "explain", "--result", failed, "--result-status", "422", "fal", "-")
	if got.code != exitOK || !strings.Contains(got.stdout, `"status": "failed"`) || !strings.Contains(got.stdout, `"message": "field required"`) {
		t.Errorf("explain --result of a failed task: %+v", got)
	}
	if !strings.Contains(got.stdout, `"failed"`) || strings.Contains(got.stdout, "\nstatus                  \"completed\"") || !strings.Contains(got.stdout, "says that the task failed") {
		t.Errorf("explain says that the status is not what the document says: %s", got.stdout)
	}
	for _, tt := range []struct{ name, first, status, want string }{
		{"none wanted", `{"status":"IN_PROGRESS","request_id":"r"}`, "200", "result.when does not hold"},
		{"none to take", completed, "503", "upstream-error: the upstream reports an error of its own): Pollux would ask again after 2, 10 and 60 s"},
	} {
		got := runWith(t, tt.first, "explain", "--result", result, "--result-status", tt.status, "fal", "-")
		if got.code != exitOK || !strings.Contains(got.stdout, tt.want) || strings.Contains(got.stdout, `"seed"`) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	dir := t.TempDir()
	writeIn(t, dir, "linked.yaml", "name: linked\nbase_url: https://api.example\nidentity: {headers: [K]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\n"+
		"status: {path: s, words: {x: completed}}\nresult: {link: u, when: terminal, into: output.data, hosts: [cdn.example]}\n")
	for link, followed := range map[string]bool{"/r": true, "https://cdn.example/r": true, "https://evil.example/r": false} {
		got := runWith(t, `{"s":"x","u":"`+link+`"}`, "explain", "--provider-dir", dir, "linked", "-")
		if strings.Contains(got.stdout, "is not followed") == followed || !strings.Contains(got.stdout, link) {
			t.Errorf("a link to %s: %s", link, got.stdout)
		}
	}
}
