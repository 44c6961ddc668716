package providers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pollux/providers/format"
)

func TestCredentialIsNeverPrinted(t *testing.T) {
	const secret = "sEcReT"
	c := Credential{Headers: []Field{{"Authorization", secret}}, Query: []Field{{"api_key", secret}}}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("m", "credential", c, "pointer", &c, "field", c.Headers[0], "fields", c.Headers, "group", slog.GroupValue(slog.Any("c", c)))
	}
	encoded, err := json.Marshal(map[string]any{"c": c, "p": &c, "f": c.Headers})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(encoded) + c.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed += fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, c.Headers) + fmt.Sprintf(verb, struct{ C Credential }{c})
	}
	if strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
		t.Errorf("printed %s", printed)
	}
	if !strings.Contains(printed, "redacted") {
		t.Errorf("printed %s, which does not say that something is hidden", printed)
	}
}

func TestHeldCredential(t *testing.T) {
	tests := []struct{ provider, name, value string }{
		{"orq", "Authorization", "Bearer k"},
		{"shannon", "X-Api-Key", "k"},
	}
	for _, test := range tests {
		c := builtins(t).Get(test.provider).HeldCredential("k")
		if len(c.Headers) != 1 || len(c.Query) != 0 || c.Headers[0].Name != test.name || c.Headers[0].Value != test.value {
			t.Errorf("%s: not in %s as %q", test.provider, test.name, test.value)
		}
	}
	query := &Provider{format.File{Identity: format.Identity{Query: []string{"key"}}}}
	if c := query.HeldCredential("a&b"); len(c.Query) != 1 || c.Query[0].Value != "a%26b" {
		t.Error("a provider without headers: the key is not in its query, escaped")
	}
	if c := query.HeldCredential(""); !c.Zero() {
		t.Error("no key makes a credential")
	}
}
