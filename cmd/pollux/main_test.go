package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pollux/cache/postgres/pgtest"
	"pollux/providers"
	"pollux/providers/sandbox"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	flag.Parse()
	if file := os.Getenv(childConfig); file != "" {
		os.Exit(serveUntilKilled(file))
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) { pgtest.Cleanup(); os.Exit(code) }),
		// These two of fasthttp live as long as the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// runWith executes one command line.
func runWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func TestUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	cases := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // what they contain
	}{
		{"nothing", nil, exitUsage, "", "usage: pollux <command>"},
		{"help", []string{"help"}, exitOK, "usage: pollux <command>", ""},
		{"--help", []string{"--help"}, exitOK, "usage: pollux <command>", ""},
		{"unknown command", []string{"sevre"}, exitUsage, "", "did you mean `serve`?"},
		{"version", []string{"version"}, exitOK, "pollux ", ""},
		{"--version", []string{"--version"}, exitOK, "go1.", ""},
		{"version with an argument", []string{"version", "x"}, exitUsage, "", "takes no argument, and was given `x`"},
		{"unknown flag", []string{"check", "--nope"}, exitUsage, "", "there is no flag `--nope`"},
		{"flag without value", []string{"check", "--config"}, exitUsage, "", "--config wants a value"},
		{"check of two configs", []string{"check", "one", "two"}, exitUsage, "", "checks one config, and was given 2"},
		{"check of a config named twice", []string{"check", "one", "--config", "one"}, exitUsage, "", "given a config twice"},
		{"explain without body", []string{"explain", "orq"}, exitUsage, "", "wants <provider> <body.json>, and was given 1 argument"},
		{"explain with a bad param", []string{"explain", "--param", "x", "orq", "-"}, exitUsage, "", "want name=value"},
		{"explain with a bad status", []string{"explain", "--status", "7", "orq", "-"}, exitUsage, "", "from 100 to 599"},
		{"key without a name", []string{"key", "new"}, exitUsage, "", "wants new <name>, and was given 1 argument"},
		{"key with a bad verb", []string{"key", "old", "ci"}, exitUsage, "", "does new, not `old`"},
		{"key with a bad name", []string{"key", "new", "a b"}, exitUsage, "", "wants a name of letters"},
		{"sandbox with a bad fault", []string{"sandbox", "--fault", "kindness=1"}, exitUsage, "", "not understood"},
		{"sandbox with a bad rate", []string{"sandbox", "--rate", "100"}, exitUsage, "", "want requests/duration"},
		{"sandbox with an unknown fault", []string{"sandbox", "--fault", "kind=fire"}, exitUsage, "", "--fault: kind is none of"},
		{"sandbox with a fault too often", []string{"sandbox", "--fault", "kind=503,ratio=2"}, exitUsage, "", "ratio is from 0 to 1"},
		{"sandbox with a fault of nobody", []string{"sandbox", "--fault", "kind=503,provider=nope"}, exitUsage, "", `no simulated provider "nope"`},
		{"sandbox with a rate for nobody", []string{"sandbox", "--rate", "nope=1/1m"}, exitUsage, "", `no simulated provider "nope"`},
		{"sandbox that runs backwards", []string{"sandbox", "--speed", "-1"}, exitUsage, "", "--speed wants more than 0"},
		{"sandbox that stands still", []string{"sandbox", "--speed", "0"}, exitUsage, "", "--speed wants more than 0"},
		{"sandbox at no speed", []string{"sandbox", "--speed", "nan"}, exitUsage, "", "--speed wants more than 0"},
		{"demo at no speed", []string{"demo", "--speed", "nan"}, exitUsage, "", "--speed more than 0"},
		{"sandbox on no address", []string{"sandbox", "--listen", "nowhere"}, exitUsage, "", "pollux sandbox: --listen wants an address"},
		{"included what is not", []string{"get", "orq/x", "--include", "natvie"}, exitUsage, "", "pollux get: --include: there is no `natvie`: did you mean `native`?"},
		{"completion of nothing", []string{"completion"}, exitUsage, "", "wants bash|zsh|fish"},
		{"completion of another shell", []string{"completion", "tcsh"}, exitUsage, "", "wants bash, zsh or fish"},
		{"demo with too many clients", []string{"demo", "--clients", "5000"}, exitUsage, "", "from 1 to 1000"},
		{"serve without its config", []string{"serve", "--config", "missing.yaml"}, exitFailure, "", "missing.yaml: cannot be read"},
	}
	for _, c := range commands() {
		cases = append(cases, struct {
			name           string
			args           []string
			code           int
			stdout, stderr string
		}{c.Name + " --help", []string{c.Name, "--help"}, exitOK, "usage: pollux " + c.Name, ""})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, "", c.args...)
			if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("pollux %q: code %d, want %d\nstdout %q\nstderr %q", c.args, got.code, c.code, got.stdout, got.stderr)
			}
			if c.code == exitUsage && len(c.args) > 0 && (got.stdout != "" || strings.Count(got.stderr, "\n") != 1) {
				t.Errorf("pollux %q: a fault is one line, not %q", c.args, got.stdout+got.stderr)
			}
			if slices.Contains(c.args, "--help") && len(c.args) > 1 && !strings.Contains(got.stdout, "\nexamples:\n  ") {
				t.Errorf("pollux %q shows no example:\n%s", c.args, got.stdout)
			}
			if c.code == exitOK && got.stderr != "" {
				t.Errorf("pollux %q: stderr %q", c.args, got.stderr)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	good := runWith(t, "", "check", "--config", exampleFile)
	if good.code != exitOK || !strings.Contains(good.stdout, "6 upstreams, 31 providers, no faults") {
		t.Errorf("check of the example: %+v", good)
	}
	if named := runWith(t, "", "check", exampleFile); named != good {
		t.Errorf("check FILE: got %+v, want %+v", named, good)
	}
	bad := runWith(t, "", "check", "--config", "config/testdata/timeout.yaml")
	if bad.code != exitFailure || bad.stdout != "" || !strings.Contains(bad.stderr, "timeout.yaml:") {
		t.Errorf("check of a bad config: %+v", bad)
	}
	t.Chdir(t.TempDir())
	if none := runWith(t, "", "check"); none.code != exitOK || !strings.Contains(none.stdout, "no config file") {
		t.Errorf("check without config: %+v", none)
	}
}

func TestKeyNew(t *testing.T) {
	got := runWith(t, "", "key", "new", "ci")
	fields := strings.Fields(got.stdout)
	var key, hash string
	for _, f := range fields {
		if strings.HasPrefix(f, "plx_") {
			key = f
		}
		if strings.HasPrefix(f, `"sha256:`) {
			hash = strings.Trim(f, `",`)
		}
	}
	if got.code != exitOK || key == "" || hash == "" {
		t.Fatalf("key new: %+v", got)
	}
	file := write(t, "config.yaml", "upstreams: {orq: {provider: orq}}\n"+got.stdout[strings.Index(got.stdout, "  clients:"):])
	// What it prints is indented; under the root it is not.
	text := strings.ReplaceAll(read(t, file), "\n  ", "\n")
	text = strings.Replace(text, "  clients:", "clients:", 1)
	if l, err := load(write(t, "config.yaml", text), noEnvironment); err != nil || len(l.Clients) != 1 || string(l.Clients[0].Key) != hash {
		t.Errorf("what key new prints is no config: %v\n%s", err, text)
	}
}

func TestKeyNewQuiet(t *testing.T) {
	got := runWith(t, "", "key", "new", "--quiet", "ci")
	if line, rest, _ := strings.Cut(got.stdout, "\n"); got.code != exitOK || !strings.HasPrefix(line, "plx_") || rest != "" || got.stderr != "" {
		t.Errorf("key new --quiet: %+v", got)
	}
}

// failingWriter takes nothing.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRunIntoAClosedPipe(t *testing.T) {
	code := run(context.Background(), []string{"explain", "orq", "-"}, strings.NewReader(`{"task_id":"t","status":"completed"}`), failingWriter{}, io.Discard)
	if code != exitFailure {
		t.Errorf("explain into a closed pipe: code %d", code)
	}
}

// TestSandboxHelp: what the help says of the sandbox's control is there, and
// is what the page about it shows.
func TestSandboxHelp(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sandbox.New(set, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile(`(?m)^  ([A-Z]+) +(/_sandbox/\w+)`).FindAllStringSubmatch(runWith(t, "", "sandbox", "--help").stdout, -1)
	named := map[string]bool{}
	for _, r := range routes {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(r[1], r[2], strings.NewReader("{}")))
		if named[r[2]] = true; answer.Code == http.StatusNotFound {
			t.Errorf("%s %s is not there", r[1], r[2])
		}
	}
	shown := regexp.MustCompile(`/_sandbox/\w+`).FindAllString(read(t, "../../docs/sandbox.md"), -1)
	for _, path := range shown {
		if !named[path] {
			t.Errorf("sandbox --help does not name %s", path)
		}
	}
	if len(routes) < 7 || len(shown) < 7 {
		t.Errorf("only %d routes in the help, %d in docs/sandbox.md", len(routes), len(shown))
	}
}
