package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// runByOthers are the pages whose commands a test of their own runs, as they
// stand there.
var runByOthers = map[string]string{
	"README.md": "TestFirstSteps", "waiting.md": "TestExamples", "webhooks.md": "TestExamples",
}

// notRun are the commands of pages that TestCommandsFromAClone does not run, by
// their first line, and why.
var notRun = map[string]string{
	"make quick":        "runs this test's like, and make test this one",
	"make demo":         "newClone, for a second",
	"claude mcp add":    "a vendor's program; TestAgentClients is another client of the same address",
	"apt install":       "make release-check installs the package",
	"docker build":      "make release-check builds and runs the image, without Docker",
	"cd deploy/compose": "needs Docker; TestDeploy reads the file",
	"helm install":      "needs a cluster; make release-check renders and checks the chart",
	`export POLLUX_CREDENTIAL="$ORQ_API_KEY"`: "TestCommandsOfClient",
	"pollux wait orq":                         "TestCommandsOfClient",
	"pollux get":                              "TestCommandsOfClient",
	"pollux watch":                            "TestCommandsOfClient",
	"pollux list":                             "TestCommandsOfClient",
	"pollux upstreams":                        "TestCommandsOfClient",
	"pollux top":                              "TestCommandsOfClient",
	"source <(pollux completion bash)":        "TestCompletions and TestBashCompletes",
}

// clone is what somebody has who has just cloned the repository.
type clone struct {
	repository string
	dir        string // where commands are typed
	adapt      *strings.Replacer
	made       map[string]string // by what a page shows in its place
}

// newClone copies the files that git knows, or would, and builds them.
func newClone(t *testing.T) *clone {
	t.Helper()
	repository := t.TempDir()
	bash(t, "../..", fmt.Sprintf("git ls-files -z -co --exclude-standard | while IFS= read -rd '' f; do [[ ! -e $f ]] || printf '%%s\\0' \"$f\"; done | xargs -0 cp --parents -t %q", repository))
	if out := bash(t, repository, "make build"); !strings.Contains(out, "the first time, modules are fetched") {
		t.Errorf("make build does not say that it takes a while: %s", out)
	}
	t.Setenv("PATH", filepath.Join(repository, "bin")+":"+os.Getenv("PATH"))
	out := bash(t, repository, "make demo DEMO='--for 1s --listen 127.0.0.1:"+freePort(t)+"'")
	if !strings.Contains(out, "/dashboard") || !strings.Contains(out, "upstream polls") {
		t.Errorf("make demo says %s", out)
	}
	bash(t, repository, "git init -q && git add -A")
	return &clone{repository: repository, dir: t.TempDir(), made: map[string]string{}}
}

// TestCommandsFromAClone types what the pages show, in the program that a fresh
// clone builds, against the sandbox that they describe.
func TestCommandsFromAClone(t *testing.T) {
	c := newClone(t)
	simulated, port := freePort(t), freePort(t)
	c.adapt = strings.NewReplacer("localhost:8081", "127.0.0.1:"+simulated, "localhost:8080", "127.0.0.1:"+port, "127.0.0.1:8080", "127.0.0.1:"+port,
		"pollux sandbox", "pollux sandbox --listen 127.0.0.1:"+freePort(t), "http://otel-collector:4318 pollux serve", "http://127.0.0.1:"+freePort(t)+" pollux serve --config my.yaml",
		"OTEL_EXPORTER", "env OTEL_EXPORTER", "whsec_...", secretOfPages)
	if err := os.Mkdir(filepath.Join(c.dir, "providers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	acme := examples(t, "providers.md", "yaml")[0][1]
	writeIn(t, c.dir, "providers.d/acme.yaml", acme+examples(t, "sandbox.md", "yaml")[0][1])
	writeIn(t, c.dir, "done.json", examples(t, "providers.md", "json")[1][1])
	writeIn(t, c.dir, "my.yaml", "listen: 127.0.0.1:"+freePort(t)+"\nstore: {driver: none}\nupstreams: {}\n")
	writeIn(t, c.dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
provider_dir: providers.d
store: {driver: none}
upstreams:
  acme: {provider: acme, base_url: "http://127.0.0.1:%[2]s/acme"}
  shannon: {provider: shannon, base_url: "http://127.0.0.1:%[2]s/shannon"}
  videos: {provider: openai-videos, base_url: "http://127.0.0.1:%[2]s/openai-videos", inbound: {secret: %q}}
`, port, simulated, secretOfPages))
	startInBackground(t, c.dir, "pollux sandbox --listen 127.0.0.1:"+simulated)
	startInBackground(t, c.dir, "pollux serve # listen 127.0.0.1:"+port)
	c.task(t, simulated, `{"provider":"acme","id":"j_81","params":{"team":"red"}}`)
	c.made["video_..."] = c.task(t, simulated, `{"provider":"openai-videos"}`)

	shown := map[string]bool{} // keys of notRun
	for _, page := range pages(t) {
		if runByOthers[filepath.Base(page)] == "" || strings.Contains(page, "deploy") {
			c.follow(t, page, shown)
		}
	}
	// A fork has renamed the module: what it imports is there.
	bash(t, c.repository, "go list -deps ./cmd/pollux >/dev/null && grep -q example.org/you/pollux/providers cmd/pollux/sandbox.go")
	for line := range notRun {
		if !shown[line] {
			t.Errorf("no page shows %q any more", line)
		}
	}
}

// secretOfPages stands where pages show whsec_...
const secretOfPages = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

// task has the sandbox make a task, and returns its id.
func (c *clone) task(t *testing.T, simulated, body string) string {
	t.Helper()
	answer, err := http.Post("http://127.0.0.1:"+simulated+"/_sandbox/tasks", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("task %s: %s %s, %v", body, answer.Status, text, err)
	}
	return gjson.GetBytes(text, "ids.0").String()
}

// commandsOf are the commands of a page: each that stands behind a prompt, and
// blocks of a shell whole.
func commandsOf(text string) (all []string) {
	for _, block := range fence.FindAllStringSubmatch(text, -1) {
		switch block[1] {
		case "sh", "bash":
			all = append(all, strings.TrimSpace(block[2]))
		case "console":
			for _, m := range regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(block[2], -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}

// follow types the commands of a page, and notes those that are not run in shown.
func (c *clone) follow(t *testing.T, page string, shown map[string]bool) {
	for _, line := range commandsOf(read(t, page)) {
		skip := false
		for first := range notRun {
			if strings.HasPrefix(line, first) {
				shown[first], skip = true, true
			}
		}
		if skip {
			continue
		}
		typed := c.adapt.Replace(line)
		for as, id := range c.made {
			typed = strings.ReplaceAll(typed, as, id)
		}
		if strings.Contains(typed, "pollux sandbox") || strings.Contains(typed, "pollux serve") {
			startInBackground(t, c.dir, strings.TrimSuffix(typed, " &"))
			continue
		}
		command := exec.CommandContext(t.Context(), "bash", "-c", "set -e -o pipefail; curl() { command curl -sS --fail-with-body \"$@\"; }\n"+typed)
		command.Dir = c.dir
		if strings.HasSuffix(page, "CONTRIBUTING.md") {
			command.Dir = c.repository
		}
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", page, typed, err, out)
		}
		if id := gjson.GetBytes(out, "task_id").String(); id != "" {
			c.made["task-6a0e...-1780000000"], c.made["task-..."] = id, id
		}
	}
}

// TestFaultsOfPages: the config that docs/configuration.md has in mind gets the
// faults that it shows.
func TestFaultsOfPages(t *testing.T) {
	_, want, _ := strings.Cut(read(t, "../../docs/configuration.md"), "$ pollux check my.yaml\n")
	want, _, _ = strings.Cut(want, "```")
	t.Chdir(t.TempDir())
	writeIn(t, ".", "my.yaml", "upstreams:\n  orq:\n    timeout: soon\n    tiemout: 10s\n    provider: orq\n")
	if got := runWith(t, "", "check", "my.yaml"); got.code != exitFailure || got.stderr != want {
		t.Errorf("check: %+v, want %q", got, want)
	}
}
