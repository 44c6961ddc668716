package providers

import (
	"cmp"
	"embed"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"pollux/providers/format"
	"pollux/providers/strictyaml"
)

//go:embed *.yaml
var builtinFiles embed.FS

// Set is a number of providers by name. It is immutable and safe for
// concurrent use.
type Set struct {
	byName map[string]*Provider
	sorted []*Provider
}

var loadBuiltin = sync.OnceValues(func() (*Set, error) { return Load(builtinFiles) })

// Builtin returns the providers that come with Pollux, always the same set.
// Its error is strictyaml.Faults.
func Builtin() (*Set, error) { return loadBuiltin() }

// Load reads and checks every *.yaml file below the root of fsys, at any
// depth. Its error is strictyaml.Faults with every fault of every file; the
// set is nil then.
func Load(fsys fs.FS) (*Set, error) {
	var faults strictyaml.Faults
	var all []*Provider
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			faults = append(faults, strictyaml.Fault{File: name, Message: "cannot be read"})
			return nil
		}
		switch ext := path.Ext(name); {
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir // where Kubernetes keeps what it links the files of a ConfigMap to
		case entry.IsDir():
			return nil
		case strings.EqualFold(ext, ".yml"), strings.EqualFold(ext, ".yaml") && ext != ".yaml":
			faults = append(faults, strictyaml.Fault{File: name, Message: "is not read: call it " + strings.TrimSuffix(path.Base(name), ext) + ".yaml"})
			return nil
		case ext != ".yaml":
			return nil
		}
		p, more := load(fsys, name)
		faults = append(faults, more...)
		if p != nil && p.Name != "" {
			all = append(all, p)
		}
		return nil
	})
	if err != nil {
		faults = append(faults, strictyaml.Fault{Message: "the provider files cannot be listed"})
	}
	set, more := newSet(all)
	if faults = append(faults, more...); len(faults) > 0 {
		faults.Sort()
		return nil, faults
	}
	return set, nil
}

var (
	errUnreadable = errors.New("cannot be read")
	errIrregular  = errors.New("is no regular file")
)

// load reads one file. The provider is unusable if there are faults.
func load(fsys fs.FS, name string) (*Provider, strictyaml.Faults) {
	data, err := readFile(fsys, name)
	if err != nil {
		return nil, strictyaml.Faults{{File: name, Message: err.Error()}}
	}
	return parseProvider(name, data)
}

// readFile reads a file, and little more of it than its parser would accept.
// Opening a pipe takes until somebody writes to it, so that is not tried.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name) // of what a link leads to
	if err != nil {
		return nil, errUnreadable
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, errUnreadable
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
	if err != nil {
		return nil, errUnreadable
	}
	return data, nil
}

// LoadFile reads and checks one provider file, whatever else is beside it. Its
// error is strictyaml.Faults.
func LoadFile(fsys fs.FS, name string) (*Set, error) {
	p, faults := load(fsys, name)
	if len(faults) > 0 {
		return nil, faults
	}
	set, _ := newSet([]*Provider{p})
	return set, nil
}

func newSet(all []*Provider) (s *Set, faults strictyaml.Faults) {
	s = &Set{byName: make(map[string]*Provider, len(all))}
	for _, p := range all {
		if _, taken := s.byName[p.Name]; taken {
			faults = append(faults, p.NameAt.Fault("is the name of another provider, choose a different one"))
			continue
		}
		s.byName[p.Name] = p
		s.sorted = append(s.sorted, p)
	}
	slices.SortFunc(s.sorted, func(a, b *Provider) int { return cmp.Compare(a.Name, b.Name) })
	return s, faults
}

// Merge returns a set with the providers of both. A name in both is a fault of
// other's file; the error is strictyaml.Faults.
func (s *Set) Merge(other *Set) (*Set, error) {
	if other == nil {
		return s, nil
	}
	set, faults := newSet(slices.Concat(s.sorted, other.sorted))
	if len(faults) > 0 {
		return nil, faults
	}
	return set, nil
}

// Get returns the provider of that name, nil if there is none.
func (s *Set) Get(name string) *Provider { return s.byName[name] }

// Names are the names of every provider, in their order.
func (s *Set) Names() []string {
	names := make([]string, len(s.sorted))
	for i, p := range s.sorted {
		names[i] = p.Name
	}
	return names
}

// All returns every provider, sorted by name.
func (s *Set) All() []*Provider { return slices.Clone(s.sorted) }

// parseProvider reads the text of a file of that name.
func parseProvider(name string, data []byte) (*Provider, strictyaml.Faults) {
	file, faults := format.Parse(name, data)
	if file == nil {
		return nil, faults
	}
	return &Provider{*file}, faults
}
