package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is who may import whom of ours; a room that is missing may import
// nothing. Tests are free.
var mayImport = map[string][]string{
	"cache/sqlindex":           {"cache"},
	"cache/writes":             {"cache"},
	"cache/sqlite":             {"cache", "cache/sqlindex", "cache/writes"},
	"cache/postgres":           {"cache", "cache/sqlindex", "cache/writes"},
	"cache/internal/storetest": {"cache"},
	"cache/clustertest":        {"cache"},
	"providers":                {"normalize", "providers/format", "providers/sandbox/script", "providers/signatures", "providers/strictyaml", "providers/template"},
	"providers/format":         {"normalize", "providers/sandbox/script", "providers/signatures", "providers/strictyaml", "providers/template"},
	"providers/template":       {"normalize"},
	"providers/signatures":     {"providers/strictyaml"},
	"providers/sandbox/script": {"normalize", "providers/strictyaml"},
	"providers/sandbox":        {"providers", "providers/format", "providers/sandbox/script", "providers/signatures", "providers/template", "normalize", "providers/strictyaml"},
	"proxy/problem":            {},
	"proxy/roots":              {},
	"proxy/poller/transport":   {"proxy/egress", "proxy/wire/chunked", "cache", "proxy/roots"},
	"proxy/poller/upstream":    {"proxy/address", "proxy/egress", "proxy/poller/adaptive", "proxy/poller/oauth", "proxy/poller/schedule", "proxy/poller/transport", "proxy/problem", "proxy/trace", "providers", "providers/format", "providers/signatures", "cache", "normalize", "providers/strictyaml", "proxy/roots"},
	"proxy/poller/oauth":       {"providers", "providers/strictyaml", "proxy/roots"},
	"proxy/poller/schedule":    {"cache"},
	"proxy/address":            {},
	"proxy/egress":             {},
	"proxy/poller/stuck":       {"proxy/poller/upstream", "cache", "normalize"},
	"proxy/poller/trend":       {"proxy/poller/upstream", "cache", "normalize"},
	"proxy/poller/sweep":       {"proxy/poller/schedule", "proxy/poller/upstream", "providers", "cache"},
	"proxy/poller":             {"proxy/poller/stuck", "proxy/poller/sweep", "proxy/poller/trend", "proxy/poller/adaptive", "proxy/poller/schedule", "proxy/poller/upstream", "proxy/problem", "proxy/trace", "providers", "cache", "normalize", "providers/strictyaml", "proxy/roots"},
	"cmd/pollux/console":       {"providers/strictyaml"},
	"cmd/pollux/client":        {"cmd/pollux/console", "providers", "normalize", "providers/strictyaml"}, // nothing of the server
	"cmd/pollux/config":        {"cmd/pollux/console", "providers", "providers/strictyaml", "proxy", "proxy/egress", "proxy/poller", "proxy/poller/upstream", "proxy/roots", "proxy/wire", "cache/postgres"},
	"cmd/pollux/demo":          {"cmd/pollux/client", "cmd/pollux/console", "providers", "providers/format", "providers/sandbox", "providers/template", "proxy/poller/upstream"},
	// what faces share, then the faces, which do not know each other
	"proxy/edge":         {},
	"proxy/wire/chunked": {},
	"proxy/trace":        {"cache", "normalize"},
	"proxy/wire":         {"proxy/edge", "proxy/wire/chunked", "proxy/problem", "proxy/trace", "normalize", "providers/strictyaml", "proxy/roots"},
	"proxy/follow":       {"proxy/problem", "cache", "normalize"},
	"proxy/access":       {"proxy/poller", "proxy/poller/upstream", "proxy/problem", "proxy/wire", "providers", "providers/strictyaml", "cache"},
	"proxy/tasks":        {"proxy/access", "proxy/follow", "proxy/poller", "proxy/poller/upstream", "proxy/problem", "proxy/trace", "proxy/wire", "cache", "normalize"},
	"proxy/native":       {"proxy/access", "proxy/poller", "proxy/poller/upstream", "proxy/problem", "proxy/trace", "proxy/wire", "providers", "providers/format", "cache", "normalize"},
	"proxy/agents":       {"proxy/access", "proxy/follow", "proxy/problem", "proxy/wire", "cache", "normalize"},
	"proxy/inbound":      {"proxy/access", "proxy/poller", "proxy/poller/upstream", "proxy/problem", "proxy/wire", "providers", "providers/signatures"},
	"proxy/fleet":        {"proxy/access", "proxy/follow", "proxy/poller", "proxy/poller/stuck", "proxy/poller/trend", "proxy/poller/upstream", "proxy/problem", "proxy/wire", "proxy/fleet/dashboard", "cache", "normalize"},
	"proxy/webhooks":     {"proxy/access", "proxy/address", "proxy/egress", "proxy/poller", "proxy/poller/upstream", "proxy/poller/schedule", "proxy/problem", "proxy/wire", "providers", "providers/strictyaml", "cache", "proxy/roots"},
	"proxy": {"proxy/agents", "proxy/tasks", "proxy/native", "proxy/fleet", "proxy/inbound", "proxy/webhooks",
		"proxy/access", "proxy/edge", "proxy/follow", "proxy/poller", "proxy/poller/upstream", "proxy/problem", "proxy/roots", "proxy/trace", "proxy/wire", "providers", "providers/format", "providers/strictyaml", "cache"},
}

// TestImportsPointDown keeps the rooms apart: cmd, then proxy, then providers
// and cache, then normalize. Whatever stands higher may be changed without
// reading what stands lower.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "pollux/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, "pollux/")
		for _, imported := range p.Imports {
			if slices.Contains([]string{"unsafe"}, imported) {
				t.Errorf("%s imports %s", room, imported)
			}
			if room == "normalize" && slices.Contains([]string{"os", "net", "net/http", "io/fs"}, imported) {
				t.Errorf("%s imports %s, and is to stay free of I/O", room, imported)
			}
			below, ours := strings.CutPrefix(imported, "pollux/")
			free := room == "cmd/pollux" || strings.HasPrefix(room, "benchmarks")
			if ours && !free && !slices.Contains(mayImport[room], below) {
				t.Errorf("%s imports %s: imports point down only", room, below)
			}
		}
	}
	if seen < 8 {
		t.Errorf("looked at %d packages only", seen)
	}
}

// TestFacesSeeFewMethods: what a face sees of the engine, or of another room, is
// an interface of its own with at most five methods, those of what it embeds
// among them.
func TestFacesSeeFewMethods(t *testing.T) {
	own, embedded := map[string]int{}, map[string][]string{} // by "webhooks.Engine"
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, named := n.(*ast.TypeSpec)
			if !named {
				return true
			}
			of, is := spec.Type.(*ast.InterfaceType)
			if !is {
				return true
			}
			key := file.Name.Name + "." + spec.Name.Name
			own[key] = 0
			for _, m := range of.Methods.List {
				own[key] += len(m.Names)
				switch e := m.Type.(type) {
				case *ast.SelectorExpr:
					embedded[key] = append(embedded[key], e.X.(*ast.Ident).Name+"."+e.Sel.Name)
				case *ast.Ident:
					embedded[key] = append(embedded[key], file.Name.Name+"."+e.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var count func(key string) int
	count = func(key string) int {
		n := own[key]
		for _, e := range embedded[key] {
			if _, ours := own[e]; !ours {
				t.Errorf("%s embeds %s, whose methods are not counted", key, e)
			}
			n += count(e)
		}
		return n
	}
	engines := 0
	for _, face := range []string{"access", "agents", "fleet", "follow", "inbound", "native", "proxy", "tasks", "webhooks"} {
		for key := range own {
			if n := count(key); strings.HasPrefix(key, face+".") && n > 5 {
				t.Errorf("%s has %d methods, and at most five are used at one place", key, n)
			}
		}
		if _, has := own[face+".Engine"]; has {
			engines++
		}
	}
	if engines < 5 {
		t.Errorf("only %d faces have an interface to the engine", engines)
	}
}
