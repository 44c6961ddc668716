// Package format is what a provider file may say: reading it strictly, checking
// it, and reporting all that is wrong with it, each with its place. What follows
// from a file, the requests and what answers mean, is package providers.
package format

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// File is a provider file that was read and checked. It is immutable and safe
// for concurrent use.
type File struct {
	Name     string
	Docs     string // the page that the rules were read from
	Verified string // the day someone last compared them, as 2006-01-02
	BaseURL  string // "" when every upstream must configure its own
	Revision string // changes whenever the file's meaning does

	Identity   Identity
	Params     template.Params // in the order of the file
	OneOf      [][]string      // of each group at least one parameter must be sent
	Reopenable bool            // a terminal task may run again under the same id
	Poll       Poll
	Creates    []Create
	Cancel     *Action            // nil when the provider cannot cancel
	Touch      []template.Request // other requests after which a task's stored answer is old
	Settle     []time.Duration    // after the first terminal answer; empty: it is final at once
	Result     *Result            // nil: a task's result is in the answer to its poll
	Sweep      *Sweep             // nil: the provider has no listing that tells about many tasks
	Inbound    *Inbound           // nil: the provider sends no messages
	IDs        []IDSource         // where an answer to a poll may name its task
	Mapping    *normalize.Mapping
	Errors     ErrorRules
	Simulation *script.Simulation // nil when the file has no simulation section

	NameAt *strictyaml.Node // where the file says its name, for faults
}

// loader turns one decoded file into a File and collects what is wrong
// with it, so that its author sees everything at once.
type loader struct {
	written written
	root    *strictyaml.Node
	file    *File
	faults  strictyaml.Faults
	wrong   []string // keys that could not be decoded: what follows from that is no fault of its own
}

// Parse reads one file of that name. It is unusable if there are faults.
func Parse(name string, data []byte) (*File, strictyaml.Faults) {
	root, faults := strictyaml.Parse(name, data, nil)
	if root == nil {
		return nil, faults
	}
	if root.Kind() != strictyaml.Map {
		return nil, append(faults, root.Fault("want a mapping, such as the built-in files have"))
	}
	l := &loader{root: root, file: &File{Revision: revision(root), NameAt: root}, faults: faults}
	for _, f := range root.Decode(&l.written) {
		l.faults = append(l.faults, f)
		l.wrong = append(l.wrong, f.Key)
	}
	l.about(strings.TrimSuffix(path.Base(name), ".yaml"))
	l.identity()
	l.params()
	l.oneOf()
	l.poll()
	l.creates()
	l.cancel()
	l.touch()
	l.settle()
	l.result()
	l.expires()
	l.sweep()
	l.inbound()
	l.observed()
	l.mapping(name)
	l.errors()
	l.simulation()
	l.faults.Sort()
	return l.file, l.faults
}

// fault adds a fault at n, or about the absence of key when the file has no n.
func (l *loader) fault(n *strictyaml.Node, key, format string, args ...any) {
	if n == nil {
		f := l.root.Nearest(key).Fault(format, args...)
		f.Key = key
		if !slices.ContainsFunc(l.wrong, func(w string) bool { return covers(w, key) || covers(key, w) }) {
			l.faults = append(l.faults, f)
		}
		return
	}
	if !n.Broken() && !slices.ContainsFunc(l.wrong, func(w string) bool { return covers(w, n.Path()) }) {
		l.faults = append(l.faults, n.Fault(format, args...))
	}
}

// covers reports whether key is above or the same as other, both dotted.
func covers(key, other string) bool {
	rest, ok := strings.CutPrefix(other, key)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (l *loader) about(want string) {
	w, f := &l.written, l.file
	f.Name, f.Docs, f.Verified, f.BaseURL = w.Name.Value, w.Docs.Value, w.Verified.Value, w.BaseURL.Value
	f.Reopenable = w.Reopenable
	if w.Name.Node != nil {
		f.NameAt = w.Name.Node
	}
	if !template.IsName(want) || strings.Contains(want, ".") {
		l.fault(w.Name.Node, "name", "want the file's name to be letters, digits, dashes and underscores")
	} else if f.Name != want {
		l.fault(w.Name.Node, "name", "want %s, as the file is called", want)
	}
	if u, err := url.Parse(f.Docs); f.Docs != "" && (err != nil || u.Host == "") {
		l.fault(w.Docs.Node, "docs", "want the URL of a page")
	}
	if _, err := time.Parse(time.DateOnly, f.Verified); f.Verified != "" && err != nil {
		l.fault(w.Verified.Node, "verified", "want a date such as 2026-02-11")
	}
	if f.BaseURL == "" {
		return
	}
	if _, err := ParseBaseURL(f.BaseURL); err != nil {
		l.fault(w.BaseURL.Node, "base_url", "%s", err)
	}
}

// observed names the times that the API does not tell; a field that fills one
// contradicts it.
func (l *loader) observed() {
	for _, o := range l.written.Observed {
		switch o.Value {
		case "created_at", "started_at", "completed_at":
		default:
			l.fault(o.Node, "observed", "want created_at, started_at or completed_at")
		}
		for _, field := range l.written.Fields {
			if field.Name == o.Value {
				l.fault(o.Node, "observed", "fields has a source for it")
			}
		}
	}
}

// httpCode reads the code that a member is named by.
func httpCode(name string) (code int, ok bool) {
	code, err := strconv.Atoi(name)
	return code, err == nil && code >= 100 && code <= 599
}

func (l *loader) mapping(file string) {
	for _, c := range l.written.Status.Codes {
		if _, ok := httpCode(c.Name); !ok {
			l.fault(c.Node, "status.codes", "want HTTP codes, such as 202: in_progress")
		}
	}
	spec := l.written.spec()
	l.file.IDs = l.ids(spec)
	l.alignIDs()
	mapping, faults := normalize.Compile(spec)
	for _, f := range faults {
		line, column := f.Line, f.Column
		if line == 0 {
			at := l.root.Nearest(f.Key)
			line, column = at.Line(), at.Column()
		}
		l.faults = append(l.faults, strictyaml.Fault{File: file, Line: line, Column: column, Key: f.Key, Message: f.Message})
	}
	if l.file.Mapping = mapping; mapping != nil && l.file.Sweep != nil {
		l.itemCode()
	}
}

// condition compiles an expression about an answer that is no document, nil if
// the file has none.
func (l *loader) condition(t text) *normalize.Condition {
	if t.Node == nil || t.Node.Broken() {
		return nil
	}
	c, fault := normalize.CompileCondition(exprSpec(t))
	switch {
	case fault != nil:
		l.fault(t.Node, "", "%s", fault.Message)
	case c.ReadsStatus():
		l.fault(t.Node, "", `word and status are empty here; look at http, or at the body, as in text("error.code") == "E_GONE"`)
	}
	return c
}

func (l *loader) simulation() {
	if l.written.Simulation != nil && len(l.faults) == 0 {
		l.faults = append(l.faults, l.written.Simulation.CheckFile(script.File{
			HasParam:  func(name string) bool { _, known := l.file.Params.Index(name); return known },
			Request:   func(route string) []string { _, wrong := template.Parse(route, l.file.Params, true); return wrong },
			Documents: l.file.Poll.Documents, Sweep: l.file.Sweep != nil, Inbound: l.file.Inbound != nil,
		})...)
	}
	l.file.Simulation = l.written.Simulation
}

// revision is a short hash of what the file means: everything in it but
// comments, layout, and the keys that change no document.
func revision(root *strictyaml.Node) string {
	h := sha256.New()
	for _, pair := range root.Map() {
		switch pair.Key {
		case "docs", "verified", "simulation":
		default:
			fmt.Fprintf(h, "%q:", pair.Key)
			hashNode(h, pair.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

func hashNode(h hash.Hash, n *strictyaml.Node) {
	fmt.Fprintf(h, "%d %q(", n.Kind(), n.Scalar())
	for _, pair := range n.Map() {
		fmt.Fprintf(h, "%q:", pair.Key)
		hashNode(h, pair.Value)
	}
	for _, item := range n.List() {
		hashNode(h, item)
	}
	h.Write([]byte(")"))
}
