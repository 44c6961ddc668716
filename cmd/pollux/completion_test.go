package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	all := completions(t.Context())
	for _, c := range all {
		switch c.Name {
		case "wait":
			for _, flag := range []string{"--timeout", "--json", "--quiet", "--server", "--key-file", "--header", "--header-file"} {
				if !slices.Contains(c.flags, flag) {
					t.Errorf("wait has no %s: %q", flag, c.flags)
				}
			}
		case "version":
			if !slices.Equal(c.flags, []string{"--color"}) {
				t.Errorf("version has flags: %q", c.flags)
			}
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := runWith(t, "", "completion", shell)
		for _, c := range commands() {
			if !strings.Contains(got.stdout, c.Name) {
				t.Errorf("%s cannot complete %s", shell, c.Name)
			}
		}
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("there is no bash")
	}
	script := runWith(t, "", "completion", "bash").stdout
	cases := []struct{ words, want string }{
		{"pollux wa", "wait watch"},
		{"pollux wait --ti", "--timeout"},
		{"pollux completion z", "zsh"},
		{"pollux nothing --", ""},
	}
	for _, c := range cases {
		words := strings.Fields(c.words)
		command := script + "COMP_WORDS=(" + c.words + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + `; _pollux; echo "${COMPREPLY[*]}"`
		out, err := exec.Command(bash, "--norc", "-c", command).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%q completes to %q, %v, want %q", c.words, got, err, c.want)
		}
	}
}
