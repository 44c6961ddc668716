package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAsset(t *testing.T) {
	cases := []struct{ path, contentType string }{
		{"/dashboard", "text/html; charset=utf-8"},
		{"/dashboard/", "text/html; charset=utf-8"},
		{"/dashboard/main.mjs", "text/javascript; charset=utf-8"},
		{"/dashboard/theme.css", "text/css; charset=utf-8"},
		{"/dashboard/icon.svg", "image/svg+xml"},
	}
	for _, tc := range cases {
		body, contentType, etag, ok := Asset(tc.path)
		if !ok || len(body) == 0 {
			t.Errorf("Asset(%q) = %d bytes, %t; want an asset", tc.path, len(body), ok)
		}
		if contentType != tc.contentType {
			t.Errorf("Asset(%q) has type %q, want %q", tc.path, contentType, tc.contentType)
		}
		sum := sha256.Sum256(body)
		if want := fmt.Sprintf(`"%s"`, hex.EncodeToString(sum[:12])); etag != want {
			t.Errorf("Asset(%q) has ETag %s, want %s", tc.path, etag, want)
		}
	}
}

func TestAssetUnknown(t *testing.T) {
	for _, p := range []string{"", "/", "/dashboard/index.html", "/dashboard/../go.mod", "/dashboard/static/main.mjs", "/dashboard/Main.mjs", "dashboard", "/dashboard//main.mjs"} {
		if body, _, etag, ok := Asset(p); ok || body != nil || etag != "" {
			t.Errorf("Asset(%q) = %d bytes, %q, %t; want nothing", p, len(body), etag, ok)
		}
	}
}

func TestEveryTypeIsKnown(t *testing.T) {
	for p, a := range assets {
		if a.contentType == "" {
			t.Errorf("%s has no content type", p)
		}
	}
}

// reference finds what a file loads: attributes of the page, imports of modules.
var (
	attribute = regexp.MustCompile(`\s(?:href|src)="([^"]*)"`)
	imports   = regexp.MustCompile(`(?m)^(?:import|export)\s[^;]*?from\s+"([^"]+)";|^import\s+"([^"]+)";|import\("([^"]+)"\)`)
)

func TestReferencesExist(t *testing.T) {
	for _, page := range []string{"/dashboard", "/dashboard/"} {
		found := 0
		for _, m := range attribute.FindAllStringSubmatch(string(assets[page].body), -1) {
			if strings.HasPrefix(m[1], "#") { // a view of the page itself
				continue
			}
			found++
			// A relative reference leads away from the page's folder.
			if p := path.Join(page[:strings.LastIndex(page, "/")+1], m[1]); assets[p].body == nil || path.IsAbs(m[1]) {
				t.Errorf("%s refers to %q, which leads to %s", page, m[1], p)
			}
		}
		if found < 5 {
			t.Errorf("%s refers to %d assets, want its style sheets and its module", page, found)
		}
	}
	reached := map[string]bool{"/dashboard/main.mjs": true}
	for todo := []string{"/dashboard/main.mjs"}; len(todo) > 0; todo = todo[1:] {
		for _, m := range imports.FindAllStringSubmatch(string(assets[todo[0]].body), -1) {
			p := path.Join("/dashboard", m[1]+m[2]+m[3])
			if assets[p].body == nil {
				t.Errorf("%s imports %s, which is not there", todo[0], p)
			} else if !reached[p] {
				reached[p] = true
				todo = append(todo, p)
			}
		}
	}
	for p := range assets {
		if path.Ext(p) == ".mjs" && !reached[p] {
			t.Errorf("%s is imported by nobody", p)
		}
	}
}

// The ids that scripts look up must be in the page.
func TestIDsExist(t *testing.T) {
	page := string(assets[Root].body)
	lookup := regexp.MustCompile(`byId\("([^"]+)"\)`)
	own := regexp.MustCompile(`\bid: "([^"]+)"`) // made by scripts
	made := map[string]bool{}
	for _, a := range assets {
		for _, m := range own.FindAllStringSubmatch(string(a.body), -1) {
			made[m[1]] = true
		}
	}
	for p, a := range assets {
		for _, m := range lookup.FindAllStringSubmatch(string(a.body), -1) {
			if !made[m[1]] && !strings.Contains(page, ` id="`+m[1]+`"`) {
				t.Errorf("%s looks up the id %q, which nothing has", p, m[1])
			}
		}
	}
}

func TestNothingInline(t *testing.T) {
	inline := map[string]*regexp.Regexp{
		"a style attribute": regexp.MustCompile(`(?i)<[^>]*\sstyle\s*=`),
		"an event handler":  regexp.MustCompile(`(?i)<[^>]*\son[a-z]+\s*=`),
		"a style element":   regexp.MustCompile(`(?i)<style`),
		"an inline script":  regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]`),
		"a javascript URL":  regexp.MustCompile(`(?i)javascript:`),
	}
	for p, a := range assets {
		if ext := path.Ext(p); ext != "" && ext != ".svg" {
			continue
		}
		for what, pattern := range inline {
			if m := pattern.Find(a.body); m != nil {
				t.Errorf("%s has %s: %s", p, what, m)
			}
		}
	}
}

func TestNothingFromElsewhere(t *testing.T) {
	address := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9][^\s"'` + "`" + `)]*`)
	inStyle := regexp.MustCompile(`(?i)url\(|@import|image-set\(`)
	for p, a := range assets {
		found := address.FindAllString(string(a.body), -1)
		if path.Ext(p) == ".css" {
			found = append(found, inStyle.FindAllString(string(a.body), -1)...)
		}
		for _, m := range found {
			// The name of SVG's namespace is never fetched.
			if m != "http://www.w3.org/2000/svg" {
				t.Errorf("%s has the address %s", p, m)
			}
		}
	}
}

func TestNoWayToMarkup(t *testing.T) {
	sink := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|DOMParser|srcdoc|setHTML|document\.write|\beval\b|new Function|setTimeout\("|localStorage|sessionStorage|document\.cookie`)
	for p, a := range assets {
		body := a.body
		if p == "/dashboard/theme.mjs" { // the one word that is kept in the browser
			body = bytes.ReplaceAll(body, []byte("localStorage.getItem(KEEP)"), nil)
			body = bytes.ReplaceAll(body, []byte("localStorage.setItem(KEEP, word)"), nil)
		}
		if m := sink.Find(body); m != nil {
			t.Errorf("%s uses %s", p, m)
		}
	}
}

func TestPolicy(t *testing.T) {
	for _, directive := range []string{"default-src 'self'", "base-uri 'none'", "object-src 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(CSP+";", directive+";") {
			t.Errorf("CSP = %q, lacks %q", CSP, directive)
		}
	}
	if strings.Contains(CSP, "unsafe") || strings.ContainsAny(CSP, "*\r\n") {
		t.Errorf("CSP = %q is not strict", CSP)
	}
}

// TestModules runs the modules that need no browser under their own tests.
func TestModules(t *testing.T) {
	node := program(t, "node")
	tests, err := filepath.Glob("testdata/js/*.test.mjs")
	if err != nil || len(tests) < 5 {
		t.Fatalf("tests of the modules: %v, %v", tests, err)
	}
	run(t, 2*time.Minute, node, append([]string{"--experimental-vm-modules", "--no-warnings", "--test"}, tests...)...)
}

// TestInBrowser uses the page as a person would, before a simulated fleet whose
// every string is an attack. It takes some seconds.
func TestInBrowser(t *testing.T) {
	node := program(t, "node")
	program(t, "chromium")
	install(t)
	run(t, 12*time.Minute, node, "--experimental-websocket", "--no-warnings", "testdata/mock/check.mjs")
}

// install puts axe-core beside the mock, as the lock file says.
func install(t *testing.T) {
	const dir = "testdata/mock"
	if _, err := os.Stat(dir + "/node_modules/axe-core/axe.min.js"); err == nil {
		return
	}
	run(t, 2*time.Minute, program(t, "npm"), "--prefix", dir, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
}

func program(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: .ci/deps installs it", name)
	}
	return p
}

func run(t *testing.T, limit time.Duration, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
