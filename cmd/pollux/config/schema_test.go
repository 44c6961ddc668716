package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSchemaFollows: every key that the loader knows is in the schema, and what
// editors show for it is what config.yaml says.
func TestSchemaFollows(t *testing.T) {
	found := described(t)
	want, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("descriptions.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(descriptions, want) {
		t.Error("descriptions.json is not what config.yaml says: go test ./cmd/pollux/config -run Schema -update")
	}
	s := Schema()
	for _, path := range slices.Sorted(maps.Keys(found)) {
		if schemaAt(s, strings.Split(path, ".")) == nil {
			t.Errorf("config.yaml has %s, the schema has not", path)
		}
	}
	if got := schemaAt(s, []string{"upstreams", "*", "breaker", "ratio"}); got == nil || got.Description == "" {
		t.Errorf("upstreams.*.breaker.ratio: got %v", got)
	}
	if !strings.Contains(read(t, exampleFile), "# yaml-language-server: $schema=") {
		t.Error("config.yaml names no schema for editors")
	}
}

var keyWithComment = regexp.MustCompile(`^( *)([a-z_]+):(.*?)(?: # *(.*))?$`)

// described is the comment beside each key of config.yaml, by its path.
func described(t *testing.T) map[string]string {
	texts := map[string]string{}
	type level struct {
		indent int
		path   string
	}
	var above []level
	last := ""
	for line := range strings.Lines(read(t, exampleFile)) {
		line = strings.TrimRight(line, "\n")
		if comment, only := strings.CutPrefix(strings.TrimSpace(line), "#"); only {
			// Goes on from the line before, if it stands where comments stand.
			if last != "" && strings.Index(line, "#") > 30 {
				texts[last] += "\n" + strings.TrimSpace(comment)
			}
			continue
		}
		m := keyWithComment.FindStringSubmatch(line)
		if m == nil {
			last = ""
			continue
		}
		for len(above) > 0 && above[len(above)-1].indent >= len(m[1]) {
			above = above[:len(above)-1]
		}
		path := m[2]
		if len(above) > 0 {
			path = above[len(above)-1].path + "." + m[2]
		}
		if len(above) == 1 && above[0].path == "upstreams" {
			path = "upstreams.*"
		}
		above = append(above, level{len(m[1]), path})
		last = ""
		if m[4] != "" && texts[path] == "" {
			texts[path], last = strings.TrimSpace(m[4]), path
		}
	}
	return texts
}
