package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a file. It names places and keys, never values.
type Fault struct {
	File         string
	Line, Column int    // from 1; 0 when the fault has no place in the file
	Key          string // dotted, as in "upstreams.shannon.timeout"; "" when no key is concerned
	Message      string // lower case, no full stop
}

// Error reads "config.yaml:12:3: upstreams.shannon.timeout: want a duration such as 10s".
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key)
		b.WriteString(": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Faults is everything wrong with one or several files.
type Faults []Fault

// Error is one line per fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Add notes what is wrong with a key of a file that is not at hand.
func (fs *Faults) Add(key, format string, args ...any) {
	*fs = append(*fs, Fault{Key: key, Message: fmt.Sprintf(format, args...)})
}

// Want notes what is wanted of the value of key unless it is so.
func (fs *Faults) Want(so bool, key, what string, args ...any) {
	if !so {
		fs.Add(key, "want "+what, args...)
	}
}

// Below returns fs with their keys below key.
func (fs Faults) Below(key string) Faults {
	fs = slices.Clone(fs)
	for i := range fs {
		if below := fs[i].Key; below != "" {
			fs[i].Key = key + "." + below
		} else {
			fs[i].Key = key
		}
	}
	return fs
}

// Err is fs as an error, nil when there are none.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// Sort orders fs by file and place, and keeps the order of equals.
func (fs Faults) Sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
