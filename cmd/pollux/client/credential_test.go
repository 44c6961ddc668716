package client

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pollux/cmd/pollux/console"
)

func TestCredentials(t *testing.T) {
	cases := []struct {
		name string
		file string // client.yaml
		env  map[string]string
		args []string          // before the task
		task string            // shannon/x if ""
		want map[string]string // headers
	}{
		{name: "none", want: map[string]string{"Authorization": "", "X-Api-Key": "", "X-Pollux-Key": ""}},
		{name: "bearer token in the environment", env: map[string]string{"POLLUX_CREDENTIAL": "tok"}, want: map[string]string{"Authorization": "Bearer tok"}},
		{name: "another scheme", env: map[string]string{"POLLUX_CREDENTIAL": "Basic dTpw"}, want: map[string]string{"Authorization": "Basic dTpw"}},
		{name: "a token with a colon", env: map[string]string{"POLLUX_CREDENTIAL": "user:pass"}, want: map[string]string{"Authorization": "Bearer user:pass"}},
		{name: "headers in the environment", env: map[string]string{"POLLUX_CREDENTIAL": "X-API-Key: a\nx-user-id: b\n"},
			want: map[string]string{"X-Api-Key": "a", "X-User-Id": "b", "Authorization": ""}},
		{name: "key in the environment", env: map[string]string{"POLLUX_KEY": "plx_1"}, want: map[string]string{"X-Pollux-Key": "plx_1"}},
		{name: "flag names a variable", env: map[string]string{"MY_KEY": "s e"}, args: []string{"--header", "X-API-Key: $MY_KEY"}, want: map[string]string{"X-Api-Key": "s e"}},
		{name: "flag before environment", env: map[string]string{"POLLUX_CREDENTIAL": "tok"}, args: []string{"--header", "X-API-Key: a"},
			want: map[string]string{"X-Api-Key": "a", "Authorization": ""}},
		{name: "file by upstream", file: "credentials: {shannon: {X-API-Key: s}, orq: {Authorization: Bearer o}}",
			want: map[string]string{"X-Api-Key": "s", "Authorization": ""}},
		{name: "file, another upstream", file: "credentials: {shannon: {X-API-Key: s}}", task: "orq/a/b", want: map[string]string{"X-Api-Key": ""}},
		{name: "environment before file", env: map[string]string{"POLLUX_CREDENTIAL": "tok"}, file: "credentials: {shannon: {X-API-Key: s}}",
			want: map[string]string{"X-Api-Key": "", "Authorization": "Bearer tok"}},
		{name: "file names a variable", env: map[string]string{"MY_KEY": "m"}, file: "key: ${MY_KEY}", want: map[string]string{"X-Pollux-Key": "m"}},
		{name: "the file's server is another", file: "{server: pollux.example, key: k, credentials: {shannon: {X-API-Key: s}}}",
			want: map[string]string{"X-Pollux-Key": "", "X-Api-Key": ""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := startPollux(t, tells(documentOf("completed", nil)))
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if c.file != "" {
				writeClientFile(t, os.Getenv("XDG_CONFIG_HOME"), c.file, 0o600)
			}
			got := runWith(t, "", append(append([]string{"get"}, c.args...), cmp.Or(c.task, "shannon/x"))...)
			if got.code != console.ExitOK || got.stderr != "" {
				t.Fatalf("got %+v", got)
			}
			for name, want := range c.want {
				if sent := p.requests()[0].Header.Get(name); sent != want {
					t.Errorf("%s: sent %q, want %q", name, sent, want)
				}
			}
		})
	}
}

func TestServerFromFile(t *testing.T) {
	p := startPollux(t, tells(documentOf("completed", nil)))
	t.Setenv("POLLUX_SERVER", "")
	writeClientFile(t, os.Getenv("XDG_CONFIG_HOME"), "server: "+p.URL+"/\nkey: k", 0o600)
	if got := runWith(t, "", "get", "shannon/x"); got.code != console.ExitOK {
		t.Fatalf("got %+v", got)
	}
	if r := p.requests()[0]; r.RequestURI != "/v1/tasks/shannon/x" || r.Header.Get("X-Pollux-Key") != "k" {
		t.Errorf("asked for %s with the key %q", r.RequestURI, r.Header.Get("X-Pollux-Key"))
	}
}

func TestFilesWithSecrets(t *testing.T) {
	p := startPollux(t, tells(documentOf("completed", nil)))
	key := filepath.Join(t.TempDir(), "key")
	header := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(key, []byte("plx_2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(header, []byte("X-API-Key: a$b\n\nx-user-id: me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runWith(t, "", "get", "--key-file", key, "--header-file", header, "shannon/x")
	if got.code != console.ExitOK || !strings.Contains(got.stderr, "others may read "+key+" (mode 0644)") || strings.Contains(got.stderr, header) {
		t.Errorf("got %+v, want a warning about the key's mode only", got)
	}
	sent := p.requests()[0].Header
	if sent.Get("X-Pollux-Key") != "plx_2" || sent.Get("X-Api-Key") != "a$b" || sent.Get("X-User-Id") != "me" {
		t.Errorf("sent %v", sent)
	}
}

// TestBadSecretsAreNotShown holds what is wrong with a credential against what
// is said of it.
func TestBadSecretsAreNotShown(t *testing.T) {
	cases := []struct {
		name, file string
		env        map[string]string
		args       []string
		stdin      string
	}{
		{name: "key with a line break", env: map[string]string{"POLLUX_KEY": "ses\name"}},
		{name: "header without a name", args: []string{"--header", "sesame"}},
		{name: "header with a bad value", args: []string{"--header", "X-Key: sesame\x01"}},
		{name: "header file without names", args: []string{"--header-file", "-"}, stdin: "sesame"},
		{name: "credential with a control character", env: map[string]string{"POLLUX_CREDENTIAL": "sesame\x7f"}},
		{name: "credential whose second line is no header", env: map[string]string{"POLLUX_CREDENTIAL": "X-Key: a\nsesame"}},
		{name: "unknown key in the file", file: "kee: sesame"},
		{name: "wrong type in the file", file: "credentials: {shannon: sesame}"},
		{name: "bad value in the file", file: `credentials: {shannon: {X-Key: "sesame\n"}}`},
		{name: "unset name in the file", file: "credentials: {shannon: {X-Key: 'sesame ${UNSET_FOR_SURE}'}}"},
		{name: "broken file", file: "key: [sesame"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := cleanClient(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if c.file != "" {
				writeClientFile(t, dir, c.file, 0o600)
			}
			got := runWith(t, c.stdin, append(append([]string{"get", "--server", "127.0.0.1:1"}, c.args...), "shannon/x")...)
			if got.code != console.ExitUsage || strings.Contains(got.stderr, "sesame") || strings.Contains(got.stderr, "ses\n") {
				t.Errorf("got %+v, want code %d and no secret", got, console.ExitUsage)
			}
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := client{key: "sesame", credentials: credentials{}}
	c.credentials.given.Headers, _ = environmentCredential("sesame")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, c); strings.Contains(text, "sesame") {
			t.Errorf("%s shows %q", verb, text)
		}
	}
}

func TestRedirectsTakeNothingAway(t *testing.T) {
	stranger := startPollux(t, tells(documentOf("completed", nil)))
	p := startPollux(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+r.RequestURI, http.StatusTemporaryRedirect)
	})
	t.Setenv("POLLUX_CREDENTIAL", "tok")
	if got := runWith(t, "", "get", "--server", p.URL, "shannon/x"); got.code != exitUnavailable || len(stranger.requests()) != 0 {
		t.Errorf("got %+v, and %d requests elsewhere", got, len(stranger.requests()))
	}
}
