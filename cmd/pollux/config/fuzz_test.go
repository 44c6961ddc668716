package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pollux/providers"
	"pollux/providers/strictyaml"
)

// FuzzConfig asserts that no file makes us panic, that what passes the checks
// can be validated again without faults, and that faults never show what a
// variable stands for.
func FuzzConfig(f *testing.F) {
	set, err := providers.Builtin()
	if err != nil {
		f.Fatal(err)
	}
	seeds, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(seeds, exampleFile) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	env := func(string) (string, bool) { return "VALUE-OF-A-VARIABLE", true }
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Default()
		root, faults := strictyaml.Parse("f", data, env)
		if root == nil {
			return
		}
		faults = append(faults, root.Decode(&c)...)
		faults = place(faults, c.validate(set), root)
		if strings.Contains(faults.Error(), "VALUE-OF") && !strings.Contains(string(data), "VALUE-OF") {
			t.Errorf("%q: a fault shows a value: %v", data, faults)
		}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Message == "" {
				t.Errorf("%q: a fault without place or message: %+v", data, fault)
			}
		}
	})
}
