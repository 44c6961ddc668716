package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNotPrinted(t *testing.T) {
	var out bytes.Buffer
	file := struct {
		Key  Secret
		Keys map[string]Secret
	}{"canary", map[string]Secret{"a": "canary"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, file, &file, file.Key)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "key", file.Key, "file", file)
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "key", file.Key, "file", file)
	if err := json.NewEncoder(&out).Encode(file); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, "canary") || strings.Contains(said, fmt.Sprintf("%x", "canary")) {
		t.Errorf("prints as %s", said)
	}
}
