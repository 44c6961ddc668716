package providers

import (
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"pollux/normalize"
	"pollux/providers/strictyaml"
	"pollux/providers/template"
)

// What a poll section means where it is silent.
const (
	defaultMin = time.Second
	defaultMax = 15 * time.Second
)

// defaultDocuments are the codes whose answers are documents where a file
// names none.
var defaultDocuments = []int{http.StatusOK}

func (l *loader) poll() {
	f, p := &l.file.Poll, &l.p.Poll
	p.Request = l.request(f.Request, "poll.request", false)
	p.Body = l.body(f.Body)
	l.pollMethod()
	if p.Request.Method != "" {
		for _, message := range p.Request.Misplaced(l.p.Params, p.Body, l.p.Identity.Query) {
			l.fault(f.Request.Node, "", "%s", message)
		}
	}
	p.Headers = l.constantHeaders(f.Headers)
	p.Documents = l.documents(f.Documents)
	p.Links = l.links(f.Links)
	p.LinkHeaders = l.answerHeaders(f.LinkHeaders)
	for _, hint := range f.Hints {
		p.Hints = append(p.Hints, l.hint(hint))
	}
	p.Min = l.pause(f.Min, defaultMin)
	p.First = l.pause(f.First, p.Min)
	p.Max = l.pause(f.Max, max(p.Min, defaultMax))
	p.MaxQueued = l.pause(f.MaxQueued, 0)
	p.GiveUp = l.pause(f.GiveUp, 0)
	if p.Max < p.Min {
		l.fault(f.Max.Node, "poll.max", "is less than min")
	}
	if f.MaxQueued.Node != nil && p.MaxQueued < p.Min {
		l.fault(f.MaxQueued.Node, "", "is less than min")
	}
	for _, step := range f.Steps {
		p.Steps = append(p.Steps, l.pause(step, 0))
	}
	p.Growth = f.Growth.Value
	if f.Growth.Node != nil && !(p.Growth >= 1 && p.Growth <= 100) {
		l.fault(f.Growth.Node, "", "want a factor from 1 to 100")
	}
	if f.Growth.Node != nil && len(f.Steps) > 0 {
		l.fault(f.Growth.Node, "", "means nothing beside steps")
	}
	p.Bypass.Headers = l.headers(f.Bypass.Headers, "poll.bypass.headers", nil)
	for i, name := range p.Bypass.Headers {
		if slices.Contains(l.p.Identity.Headers, name) {
			l.fault(f.Bypass.Headers[i].Node, "", "is listed in identity.headers, and cannot be both")
		}
	}
}

// pollMethod checks that the method goes with body and safe.
func (l *loader) pollMethod() {
	f := &l.file.Poll
	switch l.p.Poll.Request.Method {
	case http.MethodGet:
		if f.Body != nil {
			l.fault(nil, "poll.body", "goes with request: POST ... only, since a GET has no body")
		}
		if f.Safe.Node != nil {
			l.fault(f.Safe.Node, "", "goes with request: POST ... only, since a GET changes nothing anyhow")
		}
	case http.MethodPost:
		if !f.Safe.Value {
			l.fault(f.Request.Node, "poll.safe", "a POST usually changes something; say safe: true if you know that this one does not, else want a GET request")
		}
	case "":
	default:
		l.fault(f.Request.Node, "", "want a GET request, or a POST one with safe: true: a poll changes nothing")
	}
}

// body checks the members of a JSON body. nil stays nil.
func (l *loader) body(f *bodyFile) template.Body {
	if f == nil {
		return nil
	}
	b := template.Body{}
	for _, member := range *f {
		value, number := member.Value.text, member.Value.number.Node != nil
		if number {
			value = member.Value.number
		}
		m, message := template.ParseMember(member.Name, value.Value, number, l.p.Params)
		if message != "" {
			l.fault(member.Node, "", "%s", message)
		}
		if number && m.Param >= 0 {
			l.p.Params[m.Param].Number = true
		}
		b = append(b, m)
	}
	return b
}

// constantHeaders checks headers that every request has.
func (l *loader) constantHeaders(f strictyaml.InOrder[text]) []Field {
	var fields []Field
	for _, h := range f {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name):
			l.fault(h.Node, "poll.headers", "want the name of a request header")
		case name == "Authorization" || slices.Contains(l.p.Identity.Headers, name):
			l.fault(h.Node, "poll.headers", "names the caller, so it is listed in identity.headers and has no constant value")
		case slices.Contains(ownHeaders, name) && !slices.Contains(formHeaders, name):
			l.fault(h.Node, "poll.headers", "is a header that Pollux sets itself")
		case slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name }):
			l.fault(h.Node, "poll.headers", "is listed twice")
		case strings.Contains(h.Value.Value, "${"):
			l.fault(h.Node, "poll.headers", "holds ${...}, which is read in config.yaml only; a secret belongs under credential there, and its header under identity.headers")
		case h.Value.Value == "" || !isFieldValue(h.Value.Value):
			l.fault(h.Node, "poll.headers", "want a value of visible characters and blanks")
		}
		fields = append(fields, Field{name, h.Value.Value})
	}
	return fields
}

// isFieldValue reports whether s can be the value of a header.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

func (l *loader) documents(f []whole) []int {
	if len(f) == 0 {
		if at := l.root.Nearest("poll.documents"); at.Path() == "poll.documents" {
			l.fault(at, "", "want the codes whose answers are documents, such as [200, 202]")
		}
		return defaultDocuments
	}
	var codes []int
	for _, d := range f {
		switch {
		case slices.Contains(codes, d.Value):
			l.fault(d.Node, "poll.documents", "is listed twice")
		case d.Value == http.StatusUnauthorized || d.Value == http.StatusForbidden || d.Value == http.StatusRequestTimeout || d.Value == http.StatusTooManyRequests:
			l.fault(d.Node, "poll.documents", "%d is about the poll and not about the task, so it never is a document", d.Value)
		case d.Value/100 != 2 && d.Value/100 != 4 && d.Value != http.StatusSeeOther:
			l.fault(d.Node, "poll.documents", "want codes from 200 to 299, from 400 to 499, or 303")
		}
		codes = append(codes, d.Value)
	}
	slices.Sort(codes)
	return codes
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

// idSource checks where an answer has an id. header says whether it may be in
// a header.
func (l *loader) idSource(f *idFile, header bool) idSource {
	s := idSource{path: f.path.Value}
	if f.header.Node != nil {
		s.header = l.answerHeaders([]text{f.header})[0]
	}
	switch {
	case f.Node.Broken():
	case s.path != "" && s.header != "":
		l.fault(f.Node, "", "want a path or a header, not both")
	case s.header != "" && !header:
		l.fault(f.Node, "", "want a path: there is no header to look at")
	case s.header == "" && f.path.Node == nil:
		l.fault(f.Node, "", "want a GJSON path, {path, match} or {header: Location, match}")
	}
	l.path(f.path)
	if s.match = l.regexp(f.match); s.match != nil {
		l.groups(&s, f.match)
	}
	return s
}

// groups tells the groups of a match apart: the first without a name is the
// id, one with a name the parameter of that name.
func (l *loader) groups(s *idSource, at text) {
	for i, name := range s.match.SubexpNames()[1:] {
		param, known := l.p.Params.Index(name)
		switch {
		case name == "" && s.group == 0:
			s.group = i + 1
		case name != "" && !known:
			l.fault(at.Node, "", "has a group named %s, which is no parameter of this file", name)
		case name != "":
			s.others = append(s.others, idGroup{i + 1, param})
		}
	}
	if s.group == 0 {
		l.fault(at.Node, "", "wants a group without a name: what it captures is the id")
	}
}

// regexp compiles a match, whose first group is the value; nil if there is none.
func (l *loader) regexp(t text) *regexp.Regexp {
	if t.Node == nil || t.Node.Broken() {
		return nil
	}
	re, err := regexp.Compile(t.Value)
	switch {
	case err != nil:
		l.fault(t.Node, "", "want a regular expression in RE2 syntax")
		return nil
	case re.NumSubexp() == 0:
		l.fault(t.Node, "", "a match needs a group: what it captures is the value")
		return nil
	}
	return re
}

// pause is a positive duration of the file, or what holds where it has none.
func (l *loader) pause(d duration, absent time.Duration) time.Duration {
	switch {
	case d.Node == nil:
		return absent
	case d.Value <= 0 && !d.Node.Broken():
		l.fault(d.Node, "", "want a positive duration")
	}
	return d.Value
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
	r, faults := template.Parse(t.Value, l.p.Params, wild)
	for _, message := range faults {
		l.fault(t.Node, key, "%s", message)
	}
	return r
}

func (l *loader) creates() {
	listed := l.root.Get("create") != nil && l.root.Get("create").Kind() == strictyaml.List
	for i, c := range l.file.Create {
		key := "create"
		if listed {
			key = fmt.Sprintf("create[%d]", i)
		}
		l.create(c, key)
	}
}

func (l *loader) create(f createFile, key string) {
	c := Create{
		Request: l.request(f.Request, key+".request", true), Continues: f.Continues.Value, params: map[int]string{},
		Links: l.links(f.Links), LinkHeaders: l.answerHeaders(f.LinkHeaders),
	}
	if c.Request.HasQuery() {
		l.fault(f.Request.Node, "", "a create is known by its path alone, so it has no query")
	}
	if len(f.ID) == 0 {
		l.fault(nil, key+".id", "is missing: the GJSON path of the id in the answer")
	}
	for i := range f.ID {
		c.ids = append(c.ids, l.idSource(&f.ID[i], true))
	}
	if f.Continues.Node != nil {
		l.path(f.Continues)
	}
	for _, member := range f.Params {
		l.path(member.Value)
		i, ok := l.p.Params.Index(member.Name)
		if !ok {
			l.fault(member.Node, "", "is no parameter of this file")
			continue
		}
		c.params[i] = member.Value.Value
	}
	l.p.Creates = append(l.p.Creates, c)
}

// path checks a GJSON path.
func (l *loader) path(t text) {
	if t.Node == nil || t.Node.Broken() {
		return
	}
	if err := normalize.CheckPath(t.Value); err != nil {
		l.fault(t.Node, "", "%s", err)
	}
}

func (l *loader) cancel() {
	f := l.file.Cancel
	if f == nil {
		return
	}
	a := &Action{Request: l.request(f.Request, "cancel.request", false), refused: l.condition(f.Refused), DeletesEnded: f.DeletesEnded}
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
	l.p.Cancel = a
}

// namesTask checks that a request about one task says which one. Parameters of
// the poll's query are sent in every query, and read from it.
func (l *loader) namesTask(at text, key string, r *template.Request, b template.Body) {
	task := l.p.Params.Task()
	if task < 0 {
		return
	}
	if param := &l.p.Params[task]; r.Count(task) == 0 && b.Count(task) == 0 && param.In != "query" {
		l.fault(at.Node, key, "names no task: it wants {%s} in its path, query or body", param.Name)
	}
}

func (l *loader) touch() {
	for _, t := range l.file.Touch {
		r := l.request(t, "touch", false)
		if r.Method == http.MethodGet || r.HasQuery() {
			l.fault(t.Node, "", "want a request that changes something, known by its method and path")
		} else if r.Method != "" {
			l.namesTask(t, "touch", &r, nil)
		}
		l.p.touch = append(l.p.touch, r)
	}
}
