package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	startsProgram = regexp.MustCompile(`exec\.LookPath\((?:program|"nginx")\)|pgtest\.Start\(`)
	oneFunction   = regexp.MustCompile(`(?ms)^func (?:\([^)]*\) )?(\w+)\(.*?^}$`)
	calledName    = regexp.MustCompile(`\b(\w+)\(`)
)

// TestQuickNeedsOnlyGo: make quick leaves out every test here that starts another
// program.
func TestQuickNeedsOnlyGo(t *testing.T) {
	m := regexp.MustCompile(`(?m)^CLIENTS  := (.+)\nPROGRAMS := \$\(CLIENTS\)\|(.+)$`).FindStringSubmatch(read(t, "../../Makefile"))
	if m == nil {
		t.Fatal("the Makefile names no CLIENTS and PROGRAMS")
	}
	leftOut := regexp.MustCompile("^(" + m[1] + "|" + m[2] + ")$")
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	calls, starts := map[string][]string{}, map[string]bool{}
	for _, file := range files {
		for _, f := range oneFunction.FindAllStringSubmatch(read(t, file), -1) {
			starts[f[1]] = starts[f[1]] || startsProgram.MatchString(f[0])
			for _, called := range calledName.FindAllStringSubmatch(f[0], -1) {
				calls[f[1]] = append(calls[f[1]], called[1])
			}
		}
	}
	for found := true; found; {
		found = false
		for name, called := range calls {
			if !starts[name] && slices.ContainsFunc(called, func(c string) bool { return starts[c] }) {
				starts[name], found = true, true
			}
		}
	}
	n := 0
	for name := range maps.Keys(calls) {
		if starts[name] && strings.HasPrefix(name, "Test") && name != "TestMain" {
			if n++; !leftOut.MatchString(name) {
				t.Errorf("%s starts another program, and make quick runs it: PROGRAMS of the Makefile lacks it", name)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d tests start programs", n)
	}
}
