package upstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pollux/providers/strictyaml"
)

func TestUpstreamConfigHasDefaults(t *testing.T) {
	var file struct {
		Upstreams map[string]Config `yaml:"upstreams"`
	}
	root, faults := strictyaml.Parse("f", []byte("upstreams:\n  a: {timeout: 3s, freshness: {queued: 5s}}\n  b:\n"), nil)
	if faults = append(faults, root.Decode(&file)...); len(faults) > 0 {
		t.Fatal(faults)
	}
	want := DefaultConfig()
	if got := fmt.Sprintf("%+v", file.Upstreams["b"]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("b is %s, want the defaults", got)
	}
	want.Timeout, want.Freshness.Queued = 3*time.Second, 5*time.Second
	if got := fmt.Sprintf("%+v", file.Upstreams["a"]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("a is %s, want %+v", got, want)
	}
}

func TestCredential(t *testing.T) {
	cases := []struct {
		text, fault string
		want        CredentialConfig
	}{
		{"c: caller", "", CredentialConfig{Caller: true}},
		{"c: {value: ${KEY}}", "", CredentialConfig{Value: "k3y"}},
		{"c: {file: /run/k}", "", CredentialConfig{File: "/run/k"}},
		{"c: {headers: {X-A: ${KEY}, X-B: b}}", "", CredentialConfig{Headers: map[string]strictyaml.Secret{"X-A": "k3y", "X-B": "b"}}},
		{"c: {value: k3y, file: /run/k}", "f:1:4: c: want one of value, file, headers and oauth2", CredentialConfig{Value: "k3y", File: "/run/k"}},
		{"c: k3y", "f:1:4: c: want caller, or {value: ...} for a credential that Pollux holds", CredentialConfig{}},
		{"c: {valu: k3y}", "f:1:5: c.valu: unknown key, did you mean value?", CredentialConfig{}},
		{"c: {k3y}", "f:1:5: c: unknown key", CredentialConfig{}},
		{"c:", "f:1:1: c: want caller, or {value: ...} for a credential that Pollux holds", CredentialConfig{}},
	}
	for _, c := range cases {
		var file struct {
			C CredentialConfig `yaml:"c"`
		}
		root, faults := strictyaml.Parse("f", []byte(c.text), func(string) (string, bool) { return "k3y", true })
		faults = append(faults, root.Decode(&file)...)
		if faults.Error() != c.fault || file.C.Caller != c.want.Caller || file.C.Value != c.want.Value {
			t.Errorf("%q: fault %q, want %q", c.text, faults, c.fault)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if got := fmt.Sprintf(verb, file); strings.Contains(got, "k3y") {
				t.Errorf("%s of %q shows the credential", verb, c.text)
			}
		}
	}
}
