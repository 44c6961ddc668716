package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"pollux/providers"
)

// TestDocumentedClients runs the examples of the page about SDKs as they stand
// there, but for the address of Pollux: each creates a job, polls it to its end
// with what the SDK has for that, and fetches its result. The same job is then
// read as a document, which is what Pollux learned from the SDK's requests.
func TestDocumentedClients(t *testing.T) {
	t.Parallel()
	install(t, clientsDir, "node", "npm", "curl")
	cases := []struct {
		upstream  string
		lifecycle string // of the simulated job
		says      string // regular expression of what the example prints
		document  string // GJSON paths, and what they lead to
		want      string
	}{
		{"openai", "answer", `^completed \S`, "[status,model]", `["completed","gpt-5.1"]`},
		{"orq", "answer", `^completed stop`, "[status,native_status]", `["completed","completed"]`},
		{"gumloop-flow", "flow", `final_result`, "[status,native_status]", `["completed","DONE"]`},
		{"openai-batches", "good", `completed {"id":"batch_req_`, "[status,progress.steps_completed]", `["completed",10]`},
		{"openai-videos", "good", `completed \d+ bytes`, "[status,progress.percent]", `["completed",100]`},
		{"anthropic-batches", "good", `ended\na succeeded`, "[status,metadata.request_counts.succeeded]", `["completed",100]`},
		{"replicate", "good", `succeeded \[\s*'https://replicate\.delivery/`, "[status,output.data.1]", `["completed",""]`},
		{"fal", "good", `^\S+ https://v3\.fal\.media/`, "[status,output.data.seed]", `["completed",7]`},
		{"runpod", "good", `COMPLETED { text: '`, "[status,metadata.execution_ms]", `["completed",4012]`},
		{"runway", "good", `SUCCEEDED \[\s*'https://`, "[status,metadata.credits]", `["completed",25]`},
		{"luma", "good", `completed https://storage\.cdn-luma\.com/`, "[status,model]", `["completed","ray-2"]`},
		{"assemblyai", "good", `completed Smoke from hundreds of wildfires\.`, "[status,metadata.audio_duration]", `["completed",281]`},
		{"mistral-batches", "good", `SUCCESS {"id":"`, "[status,progress.total_steps]", `["completed",10]`},
		{"gemini-batches", "good", `JOB_STATE_SUCCEEDED Paris`, "[status,progress.steps_completed]", `["completed",2]`},
		{"gemini-interactions", "good", `completed The otter sleeps\.`, "[status,usage.total_tokens]", `["completed",110]`},
		{"azure-async", "good", `Succeeded`, "[status,native_status]", `["completed","Succeeded"]`},
	}
	front := newFront(t, 20)
	for _, c := range cases {
		front.simulate(t, c.upstream)
		front.witnesses[c.upstream].lifecycle = c.lifecycle
	}
	front.serve(t)
	for _, c := range cases {
		t.Run(c.upstream, func(t *testing.T) {
			t.Parallel()
			if out := front.runDocumented(t, c.upstream); !regexp.MustCompile(c.says).MatchString(out) {
				t.Errorf("it prints %q, want %s", out, c.says)
			}
			document := front.readLearned(t, c.upstream)
			if got := gjson.Get(document, c.document).Raw; got != c.want {
				t.Errorf("%s of the document is %s, want %s\n%s", c.document, got, c.want, document)
			}
		})
	}
}

// runDocumented runs the one example of docs/sdks.md that is for an upstream,
// and returns what it prints.
func (f *front) runDocumented(t *testing.T, upstream string) string {
	t.Helper()
	var found []string
	for _, block := range examples(t, "sdks.md", "js") {
		if regexp.MustCompile(`/native/` + upstream + `\b[^-]`).MatchString(block[1]) {
			found = append(found, block[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("docs/sdks.md has %d examples for %s, want 1", len(found), upstream)
	}
	kind, script := "module", strings.ReplaceAll(found[0], "http://localhost:8080", f.pollux)
	if strings.Contains(script, "require(") {
		kind = "commonjs"
	}
	node := exec.CommandContext(t.Context(), "node", "--import", loopbackOnly, "--input-type", kind, "--eval", script)
	node.Dir, node.Env = clientsDir, os.Environ()
	for _, m := range regexp.MustCompile(`process\.env\.(\w+)`).FindAllStringSubmatch(script, -1) {
		node.Env = append(node.Env, m[1]+"="+clientKey)
	}
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// readLearned reads the only task of an upstream as its SDK would be answered:
// with the headers that say who asks and for which form, as the upstream saw
// them. It must be known, from its creation on, without another poll.
func (f *front) readLearned(t *testing.T, upstream string) string {
	t.Helper()
	seen := f.witnesses[upstream].all()
	identity := builtin(t, upstream).Identity
	var args []string
	for _, name := range slices.Concat(identity.Headers, identity.Select) {
		for _, value := range seen[len(seen)-1].header.Values(name) {
			args = append(args, "-H", name+": "+value)
		}
	}
	list := curl(t, "Accept: application/json", append(args, f.pollux+"/v1/tasks?upstream="+upstream)...)
	refs := gjson.GetBytes(list, "data.#.ref").Array()
	if len(refs) != 1 {
		t.Fatalf("the tasks of the SDK's key are %s, want one", list)
	}
	address := f.pollux + "/v1/tasks/" + refs[0].String()
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	answer := string(curl(t, "Accept: application/json", append(args, "-w", "\n%header{cache-status}", address+separator+"include=history")...))
	document, status, _ := strings.Cut(answer, "\n")
	if !strings.HasPrefix(status, "pollux; hit") {
		t.Errorf("Cache-Status is %q, want a hit", status)
	}
	if first := gjson.Get(document, "history.0"); first.Get("status").Str != "queued" || first.Get("poll").Exists() {
		t.Errorf("the first that was known is %s, want queued by the create", first)
	}
	return document
}

func builtin(t *testing.T, name string) *providers.Provider {
	t.Helper()
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set.Get(name)
}

// TestLoopbackOnly: a script that reaches for another machine fails, even if it
// catches the error.
func TestLoopbackOnly(t *testing.T) {
	for _, address := range []string{"http://192.0.2.1/", "https://api.example.com/"} {
		node := exec.CommandContext(t.Context(), "node", "--import", loopbackOnly, "--eval", "fetch('"+address+"').catch(() => {})")
		node.Dir = clientsDir
		if out, err := node.CombinedOutput(); err == nil || !strings.Contains(string(out), "refused: a connection to ") {
			t.Errorf("%s: %v, %s", address, err, out)
		}
	}
}
