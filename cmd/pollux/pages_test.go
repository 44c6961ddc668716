package main

import (
	"fmt"
	"net"
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

var (
	shellBlock    = regexp.MustCompile("(?ms)^```(?:console|sh|bash)\n(.*?)^```$")
	polluxCommand = regexp.MustCompile(`(?m)^(?:\$ )?(?:.*&& |.*<\(|.*\| )?(?:bin/)?pollux ([a-z][^|&>#)\n]*)`)
	shellWord     = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
)

// TestCommandsOfPages: every command line that a page or a help shows is one
// that pollux understands. Nothing is started: each is asked for its help.
func TestCommandsOfPages(t *testing.T) {
	shown := map[string]string{} // where, by command line
	for _, page := range pages(t) {
		for _, block := range shellBlock.FindAllStringSubmatch(read(t, page), -1) {
			for _, m := range polluxCommand.FindAllStringSubmatch(block[1], -1) {
				shown[strings.TrimSpace(m[1])] = page
			}
		}
	}
	for _, c := range commands() {
		_, examples, _ := strings.Cut(runWith(t, "", c.Name, "--help").stdout, "examples:\n")
		for _, m := range regexp.MustCompile(`(?m)^  .*?pollux ([a-z][^|&>#)\n]*)`).FindAllStringSubmatch(examples, -1) {
			shown[strings.TrimSpace(m[1])] = c.Name + " --help"
		}
	}
	for line, where := range shown {
		args := append(words(line), "--help")
		if got := runWith(t, "", args...); got.code != exitOK || got.stderr != "" {
			t.Errorf("%s shows pollux %s: %+v", where, line, got)
		}
	}
	if len(shown) < 40 {
		t.Errorf("only %d command lines are shown", len(shown))
	}
}

// words splits a command line as a shell does, where it has no more than quotes.
func words(line string) []string {
	all := shellWord.FindAllString(line, -1)
	for i := range all {
		all[i] = strings.Trim(all[i], `'"`)
	}
	return all
}

// TestCommandsOfClient runs the lines with which docs/cli.md begins.
func TestCommandsOfClient(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := sandbox.New(set, sandbox.Options{Seed: 1, Speed: 20})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(simulated)
	defer upstream.Close()
	for _, task := range []string{
		`{"provider":"orq","id":"01K6","params":{"agent_key":"my-agent"}}`, `{"provider":"shannon","id":"task_1"}`, `{"provider":"gumloop","id":"abc","params":{"user_id":"u"}}`,
	} {
		answer := httptest.NewRecorder()
		simulated.ServeHTTP(answer, httptest.NewRequest("POST", "/_sandbox/tasks", strings.NewReader(task)))
		if answer.Code != 200 {
			t.Fatalf("task %s: %d %s", task, answer.Code, answer.Body)
		}
	}
	config := "listen: 127.0.0.1:0\nstore: {driver: none}\nupstreams:\n"
	for _, name := range []string{"orq", "shannon", "gumloop"} {
		config += fmt.Sprintf("  %s: {provider: %[1]s, base_url: %s/%[1]s}\n", name, upstream.URL)
	}
	p := start(t, "serve", "--config", write(t, "config.yaml", config))
	t.Setenv("POLLUX_SERVER", "http://"+p.stderr.await(t, `msg=listening address=(\S+)`)[1])
	t.Setenv("POLLUX_CREDENTIAL", "me")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	run := 0
	for _, m := range polluxCommand.FindAllStringSubmatch(shellBlock.FindStringSubmatch(read(t, "../../docs/cli.md"))[1], -1) {
		args := words(m[1])
		if args[0] == "top" {
			args = append(args, "--once") // it goes on until it is told to end
		}
		if got := runWith(t, "", args...); got.code > exitTaskWaits || got.code != exitOK && args[0] != "wait" || got.stdout+got.stderr == "" {
			t.Errorf("pollux %q: %+v", args, got)
		}
		run++
	}
	if run < 6 {
		t.Errorf("docs/cli.md begins with %d commands only", run)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, p.stderr)
	}
}

// exitTaskWaits is the last of the exit codes that tell how a task ended.
const exitTaskWaits = 5

// TestFirstSteps does what the README says, from the config to the end of a
// task, with other ports.
func TestFirstSteps(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(read(t, "../../README.md"), "\n## First steps\n")
	text, _, _ = strings.Cut(text, "\n## ")
	dir := t.TempDir()
	program := filepath.Join(dir, "pollux")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	upstreamPort, port := freePort(t), freePort(t)
	adapt := strings.NewReplacer("bin/pollux sandbox", program+" sandbox --speed 10 --listen 127.0.0.1:"+upstreamPort, "bin/pollux", program,
		":8081", ":"+upstreamPort, ":8080", ":"+port, "upstreams:\n", "listen: 127.0.0.1:"+port+"\nupstreams:\n")
	id := "task-63b6e26f-99f7-4357-9da3-8eb0f512921c-1795569542" // of the README
	made := ""
	var said []string
	for _, m := range regexp.MustCompile(`(?m)^\$ (.*<<'END'\n(?s:.*?)\nEND|.*)$`).FindAllStringSubmatch(text, -1) {
		if m[1] == "make build" {
			continue
		}
		line := adapt.Replace(m[1])
		if made != "" {
			line = strings.ReplaceAll(line, id, made)
		}
		if background, ok := strings.CutSuffix(line, " &"); ok {
			startInBackground(t, dir, background)
			continue
		}
		out := bash(t, dir, line)
		if made == "" {
			made = gjson.Get(out, "task_id").String()
		}
		said = append(said, out)
	}
	want := []string{"", "my.yaml: 1 upstream", `"task_id"`, "HTTP/1.1 200 OK", `"terminal":true`}
	if len(said) != len(want) {
		t.Fatalf("%d commands, want %d: %q", len(said), len(want), said)
	}
	for i, w := range want {
		if !strings.Contains(said[i], w) {
			t.Errorf("command %d says %q, want %q", i+1, said[i], w)
		}
	}
}

func bash(t *testing.T, dir, line string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-c", line)
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// startInBackground runs a server until the test ends, and returns once its
// port, the last that line or the config names, takes connections.
func startInBackground(t *testing.T, dir, line string) {
	t.Helper()
	command := exec.Command("bash", "-c", "exec "+line)
	command.Dir = dir
	log := newTranscript()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	})
	ports := regexp.MustCompile(`listen:? (127\.0\.0\.1:\d+)`)
	found := ports.FindStringSubmatch(line)
	if found == nil {
		found = ports.FindStringSubmatch(read(t, filepath.Join(dir, "my.yaml")))
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", found[1]); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen:\n%s", line, log)
		}
	}
}
