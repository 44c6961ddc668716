package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/sandbox"
)

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// examples are the code blocks of a page, in the given languages.
func examples(t *testing.T, page string, languages string) (found [][2]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(" "+languages+" ", " "+block[1]+" ") {
			found = append(found, [2]string{block[1], block[2]})
		}
	}
	return found
}

// interpreters run an example that lies in a file of that name.
var interpreters = map[string]struct {
	file    string
	command []string
}{
	"bash":   {"example.sh", []string{"bash", "-e"}},
	"js":     {"example.mjs", []string{"node"}},
	"python": {"example.py", []string{"python3"}},
	"go":     {"example.go", []string{"go", "run"}},
}

// TestExamples runs what the documentation shows, as it stands there.
func TestExamples(t *testing.T) {
	t.Parallel()
	install(t, webhooksDir, "node", "npm", "curl", "python3", "go")
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := sandbox.New(set, sandbox.Options{Seed: 4, Speed: 200})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(upstream)
	t.Cleanup(front.Close)
	dir := t.TempDir()
	writeIn(t, dir, "config.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
store: {driver: none}
webhooks: {allow_networks: [127.0.0.0/8]}
upstreams: {vessl: {provider: vessl, base_url: "%s/vessl"}}
`, front.URL))
	p := start(t, "serve", "--config", filepath.Join(dir, "config.yaml"))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	environment := func(more ...string) []string {
		id, err := upstream.Create("vessl", nil, "team-1", "")
		if err != nil {
			t.Fatal(err)
		}
		return append(append(os.Environ(), "POLLUX="+base, "TASK=vessl/"+id, "KEY=team-1"), more...)
	}
	ends := regexp.MustCompile(`(?m)completed|failed|cancelled|"status_code":200`)
	waiting := examples(t, "waiting.md", "bash js python go")
	if len(waiting) != 7 {
		t.Errorf("docs/waiting.md has %d examples that can be run, want 7", len(waiting))
	}
	for i, block := range waiting {
		if out := runExample(t, t.TempDir(), block[0], block[1], environment()); !ends.MatchString(out) {
			t.Errorf("docs/waiting.md, example %d in %s says:\n%s", i+1, block[0], out)
		}
	}
	t.Run("webhooks.md", func(t *testing.T) { runWebhookExamples(t, environment) })
	if code := p.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func runExample(t *testing.T, dir, language, text string, environment []string) string {
	t.Helper()
	with := interpreters[language]
	file := writeIn(t, dir, with.file, text)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, with.command[0], append(with.command[1:], file)...)
	command.Dir, command.Env = dir, environment
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", text, err, out)
	}
	return string(out)
}

// runWebhookExamples registers a webhook as the page says, lets the page's
// receiver verify what comes, and manages it.
func runWebhookExamples(t *testing.T, environment func(...string) []string) {
	shell := examples(t, "webhooks.md", "bash")
	receivers := examples(t, "webhooks.md", "js")
	if len(shell) != 2 || len(receivers) != 1 {
		t.Fatalf("%d shell examples and %d receivers, want 2 and 1", len(shell), len(receivers))
	}
	port := freePort(t)
	env := environment("RECEIVER=http://127.0.0.1:" + port + "/hook")
	made := runExample(t, t.TempDir(), shell[0][0], shell[0][1], env)
	id, secret := gjson.Get(made, "id").Str, gjson.Get(made, "secret").Str
	if id == "" || secret == "" {
		t.Fatalf("registered: %s", made)
	}
	out := newTranscript()
	node := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", receivers[0][1])
	node.Dir, node.Env = webhooksDir, append(env, "SECRET="+secret, "PORT="+port)
	node.Stdout, node.Stderr = out, out
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = node.Process.Kill() // it serves until then
		_ = node.Wait()
	}()
	out.await(t, `task\.(completed|failed|cancelled) \S+`)
	told := runExample(t, t.TempDir(), shell[1][0], shell[1][1], append(env, "WEBHOOK="+id))
	if !strings.Contains(told, `"type":"task.`) || !strings.Contains(told, "whsec_") {
		t.Errorf("managed: %s", told)
	}
}

// freePort is a port where nobody listens yet.
func freePort(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	defer server.Close()
	return server.URL[strings.LastIndexByte(server.URL, ':')+1:]
}
