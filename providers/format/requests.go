package format

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"pollux/normalize"
	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// Create is a request that makes (or continues) a task.
type Create struct {
	Request   template.Request
	Continues string         // GJSON path in the request body that names the task that runs again; "" if none
	Links     []string       // GJSON paths of strings in the answer that are URLs of the upstream
	Params    map[int]string // GJSON paths in the request body, by parameter
	IDs       []IDSource     // where the answer has the task's id, the first that yields

	LinkHeaders []string // headers of the answer that are URLs of the upstream, in canonical form
}

// Action is a request about one task, such as cancel.
type Action struct {
	Request template.Request
	Body    template.Body // nil: none
	OK      []int         // codes that mean it was accepted; empty means any 2xx
	// DeletesEnded says that the request deletes a task that has ended, which
	// nobody means who cancels one.
	DeletesEnded bool
	Refused      *normalize.Condition
}

// request parses a template. wild lets it hold placeholders that are no
// parameters.
func (l *loader) request(t text, key string, wild bool) template.Request {
	if t.Node == nil {
		l.fault(nil, key, "is missing: a method and a path, such as GET /v1/jobs/{id}")
		return template.Request{}
	}
	if t.Node.Broken() || t.Value == "" && t.Node.Scalar() != "" {
		return template.Request{} // not a string, and already reported
	}
	r, faults := template.Parse(t.Value, l.file.Params, wild)
	for _, message := range faults {
		l.fault(t.Node, key, "%s", message)
	}
	return r
}

func (l *loader) creates() {
	for i, c := range l.written.Create {
		key := "create"
		if l.root.Get("create").Kind() == strictyaml.List {
			key = fmt.Sprintf("create[%d]", i)
		}
		l.create(c, key)
	}
}

func (l *loader) create(f createFile, key string) {
	c := Create{
		Request: l.request(f.Request, key+".request", true), Continues: f.Continues.Value, Params: map[int]string{},
		Links: l.links(f.Links), LinkHeaders: l.answerHeaders(f.LinkHeaders),
	}
	if c.Request.HasQuery() {
		l.fault(f.Request.Node, "", "a create is known by its path alone, so it has no query")
	}
	if len(f.ID) == 0 {
		l.fault(nil, key+".id", "is missing: the GJSON path of the id in the answer")
	}
	for i := range f.ID {
		c.IDs = append(c.IDs, l.idSource(&f.ID[i], true))
	}
	l.path(f.Continues)
	for _, member := range f.Params {
		l.path(member.Value)
		i, ok := l.file.Params.Index(member.Name)
		if !ok {
			l.fault(member.Node, "", "is no parameter of this file")
			continue
		}
		c.Params[i] = member.Value.Value
	}
	l.file.Creates = append(l.file.Creates, c)
}

// path checks a GJSON path.
func (l *loader) path(t text) {
	if t.Node == nil {
		return
	}
	if err := normalize.CheckPath(t.Value); err != nil {
		l.fault(t.Node, "", "%s", err)
	}
}

func (l *loader) cancel() {
	f := l.written.Cancel
	if f == nil {
		return
	}
	a := &Action{Request: l.request(f.Request, "cancel.request", false), Refused: l.condition(f.Refused), DeletesEnded: f.DeletesEnded}
	if f.Request.Value != "" && a.Request.Method == http.MethodGet {
		l.fault(f.Request.Node, "", "want a request that changes something, so not GET")
	}
	for _, ok := range f.OK {
		if ok.Value < 200 || ok.Value > 299 {
			l.fault(ok.Node, "cancel.ok", "want codes from 200 to 299")
		}
		a.OK = append(a.OK, ok.Value)
	}
	a.Body = l.body(f.Body)
	if a.Request.Method != "" {
		l.namesTask(f.Request, "cancel.request", &a.Request, a.Body)
	}
	l.file.Cancel = a
}

// namesTask checks that a request about one task says which one. Parameters of
// the poll's query are sent in every query, and read from it.
func (l *loader) namesTask(at text, key string, r *template.Request, b template.Body) {
	task := l.file.Params.Task()
	if task < 0 {
		return
	}
	if param := &l.file.Params[task]; r.Count(task) == 0 && b.Count(task) == 0 && param.In != "query" {
		l.fault(at.Node, key, "names no task: it wants {%s} in its path, query or body", param.Name)
	}
}

func (l *loader) touch() {
	for _, t := range l.written.Touch {
		r := l.request(t, "touch", false)
		if r.Method == http.MethodGet || r.HasQuery() {
			l.fault(t.Node, "", "want a request that changes something, known by its method and path")
		} else if r.Method != "" {
			l.namesTask(t, "touch", &r, nil)
		}
		l.file.Touch = append(l.file.Touch, r)
	}
}

// body checks the members of a JSON body. nil stays nil.
func (l *loader) body(f *bodyFile) template.Body {
	if f == nil {
		return nil
	}
	b := template.Body{}
	for _, member := range *f {
		value, number := member.Value.text, member.Value.Number.Node != nil
		if number {
			value = member.Value.Number
		}
		m, message := template.ParseMember(member.Name, value.Value, number, l.file.Params)
		if message != "" {
			l.fault(member.Node, "", "%s", message)
		}
		if number && m.Param >= 0 {
			l.file.Params[m.Param].Number = true
		}
		b = append(b, m)
	}
	return b
}

// links checks where answers have URLs of the upstream.
func (l *loader) links(f []text) []string {
	var paths []string
	for _, link := range f {
		l.path(link)
		if link.Node != nil && strings.Contains(link.Value, "@") {
			l.fault(link.Node, "", "want a path without modifiers, since what it leads to is rewritten where it stands")
		}
		paths = append(paths, link.Value)
	}
	return paths
}

// answerHeaders checks names of headers of an answer and returns them in
// canonical form.
func (l *loader) answerHeaders(f []text) []string {
	var names []string
	for _, h := range f {
		if !httpguts.ValidHeaderFieldName(h.Value) {
			l.fault(h.Node, "", "want the name of a header of the answer, such as Location")
		}
		names = append(names, textproto.CanonicalMIMEHeaderKey(h.Value))
	}
	return names
}
