package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bareRoots are the goroutines of the server that may begin without catching
// panics, by file and function, with the reason.
var bareRoots = map[string]string{
	"cache/sqlite/database.go closeWithin":  "guarded makes a panic its error",
	"cache/sqlite/sqlite.go Open":           "Config.Keep runs them",
	"cache/postgres/postgres.go Open":       "Config.Keep runs it",
	"cache/postgres/postgres.go keep":       "Config.Keep runs them",
	"cache/transfer.go Import":              "of a command: it ends with the call",
	"cmd/pollux/main.go main":               "stops listening for signals, and does nothing else",
	"proxy/egress/egress.go Connect":        "sets a deadline, and does nothing else",
	"proxy/poller/transport/http1.go ask":   "closes a connection, and does nothing else",
	"cmd/pollux/config/reload.go LoadUntil": "a panic is the error of the reload",
	"cmd/pollux/service.go run":             "fasthttp's own, and loops that keep theirs",
	"proxy/native/date.go undated":          "ends with the call, at the start",
	"proxy/tasks/group.go pollAll":          "pollOne makes a panic its answer",
	"proxy/wire/life.go Ended":              "waits, and does nothing else",
	"proxy/fleet/stream.go streamFleet":     "wakes, and does nothing else",
	"proxy/poller/poll.go join":             "fly makes a panic its answer",
	"cache/postgres/looks.go lookUp":        "it cancels a context",
	"cmd/pollux/loglimit.go pass":           "the log itself, which roots write to",
}

// TestEveryRootCatchesPanics: one that nobody catches at the root of a goroutine
// ends the process. Whatever begins one goes through package roots, or is listed
// with the reason why not.
func TestEveryRootCatchesPanics(t *testing.T) {
	found := map[string]bool{}
	for _, room := range []string{"proxy", "cache", "cmd/pollux", "providers", "normalize"} {
		root := filepath.Join("..", "..", room)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name, _ := filepath.Rel(filepath.Join("..", ".."), path)
			switch {
			case err != nil:
				return err
			case d.IsDir() && (name == "cmd/pollux/client" || strings.HasSuffix(name, "test")):
				return filepath.SkipDir // the client is no server; the others are for tests
			case d.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"),
				strings.HasPrefix(name, "cmd/pollux/demo"), name == "cmd/pollux/sandbox.go":
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				function := nameOf(decl)
				ast.Inspect(decl, func(n ast.Node) bool {
					if began := beginning(n); began != nil && !caught(began) {
						found[filepath.ToSlash(name)+" "+function] = true
					}
					return true
				})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for where := range found {
		if bareRoots[where] == "" {
			t.Errorf("%s begins a goroutine that catches no panic: use package roots", where)
		}
	}
	for where := range bareRoots {
		if !found[where] {
			t.Errorf("%s is listed, and begins none that catches no panic", where)
		}
	}
}

func nameOf(decl ast.Decl) string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		return decl.Name.Name
	case *ast.GenDecl:
		if v, ok := decl.Specs[0].(*ast.ValueSpec); ok {
			return v.Names[0].Name
		}
	}
	return ""
}

// beginning returns what n runs in a goroutine of its own, nil if it begins none.
func beginning(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call
	case *ast.CallExpr:
		called, ok := n.Fun.(*ast.SelectorExpr)
		switch {
		case !ok:
		case called.Sel.Name == "Go" && len(n.Args) == 1:
			return n.Args[0]
		case called.Sel.Name == "AfterFunc", called.Sel.Name == "DoChan":
			return n.Args[len(n.Args)-1]
		}
	}
	return nil
}

// caught reports whether the work itself is done by a method of roots.Roots, or
// begins with one.
func caught(began ast.Node) (ok bool) {
	ast.Inspect(began, func(n ast.Node) bool {
		if call, is := n.(*ast.CallExpr); is {
			if method, is := call.Fun.(*ast.SelectorExpr); is && slices.Contains([]string{"Run", "Keep", "Recover"}, method.Sel.Name) {
				of, is := method.X.(*ast.SelectorExpr)
				ok = ok || is && slices.Contains([]string{"roots", "Roots", "Panics"}, of.Sel.Name)
				id, is := method.X.(*ast.Ident)
				ok = ok || is && id.Name == "r"
			}
		}
		return true
	})
	return ok
}
