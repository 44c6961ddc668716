package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pollux/providers"
)

// pages are all that is written for people.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../../README.md", "../../CHANGELOG.md", "../../CONTRIBUTING.md", "../../deploy/README.md"}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) < 5 {
		t.Fatalf("%d pages in docs, %v", len(docs), err)
	}
	return append(all, docs...)
}

var (
	markdownLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	markdownHeading = regexp.MustCompile("(?m)^#+ (.+)$")
	notInAnchors    = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: what a page links to is there, its heading included.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			} else if anchor != "" && !hasAnchor(read(t, target), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
	}
}

// hasAnchor reports whether a heading of text gets the anchor, as GitHub makes
// them.
func hasAnchor(text, anchor string) bool {
	for _, m := range markdownHeading.FindAllStringSubmatch(text, -1) {
		made := notInAnchors.ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(made, " ", "-") == anchor {
			return true
		}
	}
	return strings.Contains(text, `<a id="`+anchor+`"></a>`)
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	// insideOnly are pages for who works on Pollux, which begin with a link to the
	// glossary, and the glossary itself.
	insideOnly = map[string]bool{"design.md": true, "scale.md": true, "glossary.md": true}
)

// TestGlossary explains every word that Cache-Status may hold, and is where
// each page for users leads from words that are not everybody's.
func TestGlossary(t *testing.T) {
	glossary := read(t, "../../docs/glossary.md")
	source := read(t, "../../proxy/problem/cachestatus.go")
	words := []string{"hit", "ttl=", "fwd-status=", "stored", "collapsed"}
	for _, names := range regexp.MustCompile(`(?s)var (forward|detail)Names = .*?\n}?\n`).FindAllStringSubmatch(source, -1) {
		for _, name := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(names[0], -1) {
			words = append(words, map[string]string{"forward": "fwd=", "detail": "detail="}[names[1]]+name[1])
		}
	}
	if len(words) < 17 {
		t.Errorf("only these words are known: %q", words)
	}
	for _, word := range words {
		if !strings.Contains(glossary, "| `"+word) {
			t.Errorf("docs/glossary.md does not explain %s", word)
		}
	}
	var all strings.Builder
	for _, page := range pages(t) {
		all.WriteString(read(t, page))
	}
	for _, m := range regexp.MustCompile(`<a id="(\w+)">`).FindAllStringSubmatch(glossary, -1) {
		if !strings.Contains(all.String(), "glossary.md#"+m[1]+")") {
			t.Errorf("nothing leads to docs/glossary.md#%s", m[1])
		}
		word := regexp.MustCompile(`(?i)\b` + m[1] + `\b`)
		for _, page := range pages(t) {
			if !strings.Contains(page, "/docs/") || insideOnly[filepath.Base(page)] {
				continue
			}
			// In a table or a sentence; metrics and code have words of their own.
			text := inlineCode.ReplaceAllString(fence.ReplaceAllString(read(t, page), ""), "")
			if word.MatchString(text) && !strings.Contains(read(t, page), "glossary.md#"+m[1]+")") {
				t.Errorf("%s says %s and does not lead to the glossary", page, m[1])
			}
		}
	}
}

// TestDocumentedProvider follows the page about providers to its end: the file,
// its config, every answer explained, and the simulation of the sandbox's page.
func TestDocumentedProvider(t *testing.T) {
	files := examples(t, "providers.md", "yaml")
	simulation := examples(t, "sandbox.md", "yaml")
	answers := examples(t, "providers.md", "json")
	if len(files) != 2 || len(simulation) != 1 || len(answers) != 3 {
		t.Fatalf("%d files, %d simulations and %d answers, want 2, 1 and 3", len(files), len(simulation), len(answers))
	}
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("providers.d", 0o700); err != nil {
		t.Fatal(err)
	}
	writeIn(t, dir, "config.yaml", files[1][1])
	for _, text := range []string{files[0][1], files[0][1] + simulation[0][1]} {
		writeIn(t, dir, filepath.Join("providers.d", "acme.yaml"), text)
		if got := runWith(t, "", "check"); got.code != exitOK {
			t.Fatalf("check: %+v", got)
		}
		for i, status := range []string{"in_progress", "completed", "failed"} {
			if got := runWith(t, answers[i][1], "explain", "acme", "-"); got.code != exitOK || !strings.Contains(got.stdout, `"status": "`+status+`"`) {
				t.Errorf("explain of answer %d, which is %s: %+v", i+1, status, got)
			}
		}
	}
	r := start(t, "sandbox", "--listen", "127.0.0.1:0")
	r.stdout.await(t, `acme +http://\S+/acme\n`)
	if code := r.end(t); code != exitOK {
		t.Errorf("sandbox: exit code %d:\n%s", code, r.stderr)
	}
}

// TestPagesNameEveryProvider: whoever looks for a built-in API finds how its SDK
// is set up, and which headers Pollux tells callers apart by.
func TestPagesNameEveryProvider(t *testing.T) {
	set, err := providers.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if readme, count := read(t, "../../README.md"), len(set.All()); !strings.Contains(readme, fmt.Sprintf("[%d are built in]", count)) ||
		!strings.Contains(readme, fmt.Sprintf("1 upstream, %d providers", count)) {
		t.Errorf("README.md has another number of built-in providers than %d", count)
	}
	rowOf := func(page, name string) string {
		for line := range strings.Lines(read(t, page)) {
			if strings.HasPrefix(line, "|") && strings.Contains(line, "`"+name+"`") {
				return strings.ToLower(line)
			}
		}
		t.Errorf("%s has no row for %s", page, name)
		return ""
	}
	for _, p := range set.All() {
		rowOf("../../docs/sdks.md", p.Name)
		row := rowOf("../../docs/credentials.md", p.Name)
		for _, name := range slices.Concat(p.Identity.Headers, p.Identity.Query, p.Identity.Select) {
			if !strings.Contains(row, "`"+strings.ToLower(name)+"`") {
				t.Errorf("docs/credentials.md does not say that %s of %s parts callers", name, p.Name)
			}
		}
	}
}
