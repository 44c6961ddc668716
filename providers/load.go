package providers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// loader turns one decoded file into a Provider and collects what is wrong
// with it, so that its author sees everything at once.
type loader struct {
	file   providerFile
	root   *strictyaml.Node
	p      *Provider
	faults strictyaml.Faults
	wrong  []string // keys that could not be decoded: what follows from that is no fault of its own
}

// parseProvider reads one file. The provider is unusable if there are faults.
func parseProvider(name string, data []byte) (*Provider, strictyaml.Faults) {
	root, faults := strictyaml.Parse(name, data, nil)
	if root == nil {
		return nil, faults
	}
	if root.Kind() != strictyaml.Map {
		return nil, append(faults, root.Fault("want a mapping, such as the built-in files have"))
	}
	l := &loader{root: root, p: &Provider{Revision: revision(root), nameAt: root}, faults: faults}
	for _, f := range root.Decode(&l.file) {
		l.faults = append(l.faults, f)
		l.wrong = append(l.wrong, f.Key)
	}
	l.about(baseName(name))
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
	return l.p, l.faults
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
	f, p := &l.file, l.p
	p.Name, p.Docs, p.Verified, p.BaseURL = f.Name.Value, f.Docs.Value, f.Verified.Value, f.BaseURL.Value
	p.Reopenable = f.Reopenable
	if f.Name.Node != nil {
		p.nameAt = f.Name.Node
	}
	if !template.IsName(want) || strings.Contains(want, ".") {
		l.fault(f.Name.Node, "name", "want the file's name to be letters, digits, dashes and underscores")
	} else if p.Name != want {
		l.fault(f.Name.Node, "name", "want %s, as the file is called", want)
	}
	if u, err := url.Parse(p.Docs); p.Docs != "" && (err != nil || u.Host == "") {
		l.fault(f.Docs.Node, "docs", "want the URL of a page")
	}
	if _, err := time.Parse(time.DateOnly, p.Verified); p.Verified != "" && err != nil {
		l.fault(f.Verified.Node, "verified", "want a date such as 2026-02-11")
	}
	if p.BaseURL == "" {
		return
	}
	if _, err := ParseBaseURL(p.BaseURL); err != nil {
		l.fault(f.BaseURL.Node, "base_url", "%s", err)
	}
}

func (l *loader) settle() {
	s := l.file.Settle
	for _, after := range s.After {
		if after.Value <= 0 {
			l.fault(after.Node, "settle.after", "want a positive duration")
		}
		l.p.Settle = append(l.p.Settle, after.Value)
	}
	if s.Until.Node != nil && len(s.After) == 0 {
		l.fault(s.Until.Node, "settle.until", "wants settle.after: when to ask again")
	}
}

// observed names the times that the API does not tell; a field that fills one
// contradicts it.
func (l *loader) observed() {
	for _, o := range l.file.Observed {
		switch o.Value {
		case "created_at", "started_at", "completed_at":
		default:
			l.fault(o.Node, "observed", "want created_at, started_at or completed_at")
		}
		for _, field := range l.file.Fields {
			if field.Name == o.Value {
				l.fault(o.Node, "observed", "fields has a source for it")
			}
		}
	}
}

func (l *loader) mapping(file string) {
	for _, c := range l.file.Status.Codes {
		if code, err := strconv.Atoi(c.Name); err != nil || code < 100 || code > 599 {
			l.fault(c.Node, "status.codes", "want HTTP codes, such as 202: in_progress")
		}
	}
	spec := l.file.spec()
	l.p.ids = l.ids(spec)
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
	if l.p.Mapping = mapping; mapping != nil && l.p.Sweep != nil {
		l.itemCode()
	}
}

// ids are the places where an answer may name its task. What it says there
// guards against answers about another one, so a source's when does not count.
func (l *loader) ids(spec normalize.Spec) []idSource {
	var sources []idSource
	for _, f := range spec.Fields {
		if f.Name != "id" {
			continue
		}
		for _, s := range f.Sources {
			if s.Path == "" {
				continue
			}
			source := idSource{path: s.Path}
			if s.Match != "" {
				re, err := regexp.Compile(s.Match)
				if err != nil || re.NumSubexp() == 0 {
					continue // reported with the mapping
				}
				source.match, source.group = re, 1
			}
			sources = append(sources, source)
		}
	}
	return sources
}

// alignIDs makes a create's answer name its task in the form that a poll's
// does: where both have it at one path and only fields.id says how it is cut
// out, that holds for both. Else a task would be known that no poll finds.
func (l *loader) alignIDs() {
	for _, c := range l.p.Creates {
		for i := range c.ids {
			for _, polled := range l.p.ids {
				if created := &c.ids[i]; created.path != "" && created.path == polled.path && created.match == nil {
					created.match, created.group = polled.match, polled.group
				}
			}
		}
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
	if l.file.Simulation != nil && len(l.faults) == 0 {
		l.faults = append(l.faults, l.file.Simulation.CheckFile(script.File{
			HasParam:  func(name string) bool { _, known := l.p.Params.Index(name); return known },
			Request:   func(route string) []string { _, wrong := template.Parse(route, l.p.Params, true); return wrong },
			Documents: l.p.Poll.Documents, Sweep: l.p.Sweep != nil, Inbound: l.p.Inbound != nil,
		})...)
	}
	l.p.Simulation = l.file.Simulation
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
