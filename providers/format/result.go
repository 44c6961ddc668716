package format

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pollux/providers/template"
)

// Result is the second request that a finished task's result needs.
type Result struct {
	Request  *template.Request // nil: Link says where
	MaxBytes int64             // of its answer; 0: the upstream's limit
	Failed   []int             // codes that mean that the task failed
	Link     IDSource          // where the answer to the poll says it is, unless Request does
	Hosts    []string          // that Link may lead to, in lower case
	Read     bool              // nothing takes the whole answer: sources read its JSON
}

func (l *loader) result() {
	f := l.written.Result
	if f == nil {
		return
	}
	r := &Result{MaxBytes: int64(f.MaxBytes), Read: f.Into.Node == nil, Hosts: l.hosts(slices.Concat(l.written.Hosts, f.Hosts))}
	switch {
	case (f.Request.Node == nil) == (f.Link == nil):
		l.fault(l.root.Get("result"), "result", "wants a request: GET ..., or link: where the answer to the poll says it is")
	case f.Link != nil:
		r.Link = l.idSource(f.Link, true)
	default:
		request := l.request(f.Request, "result.request", false)
		if request.Method != "" && request.Method != http.MethodGet {
			l.fault(f.Request.Node, "", "want a GET request: fetching a result changes nothing")
		}
		r.Request = &request
		if request.Method != "" {
			l.namesTask(f.Request, "result.request", &request, nil)
		}
	}
	if f.Into.Node == nil && len(f.Failed) == 0 && !l.written.readsResult() {
		l.fault(l.root.Get("result"), "result", "is read by nothing: want into: output.data, or a source {result: path} under fields")
	}
	if f.When.Node == nil {
		l.fault(nil, "result.when", `is missing: the expression that says that there is a result, such as status == "completed"`)
	}
	if at := l.root.Nearest("result.max_bytes"); f.MaxBytes < 0 || f.MaxBytes == 0 && at.Path() == "result.max_bytes" {
		l.fault(at, "", "want a size such as 16MiB")
	}
	for _, code := range f.Failed {
		switch {
		case aboutPoll(code.Value):
			l.fault(code.Node, "result.failed", "%d is about the request and not about the task", code.Value)
		case code.Value < 400 || code.Value > 599:
			l.fault(code.Node, "result.failed", "want codes from 400 to 599")
		}
		r.Failed = append(r.Failed, code.Value)
	}
	l.file.Result = r
}

// readsResult reports whether a source looks into the answer to the request
// for the result.
func (f *written) readsResult() bool {
	for _, field := range f.Fields {
		if slices.ContainsFunc(field.Value, func(s sourceFile) bool { return s.Result != "" }) {
			return true
		}
	}
	return false
}

// hosts checks the names of hosts that links may lead to.
func (l *loader) hosts(f []text) []string {
	var names []string
	for _, host := range f {
		if u, err := url.Parse("https://" + host.Value); err != nil || host.Value == "" || u.Host != host.Value || u.Port() != "" || strings.ContainsAny(host.Value, "*_") {
			l.fault(host.Node, "hosts", "want the name of a host, such as cdn.acme.example")
		}
		names = append(names, strings.ToLower(host.Value))
	}
	return names
}

func (l *loader) expires() {
	f := l.written.Expires
	if f == nil {
		return
	}
	if (f.After.Node == nil) == (f.At == nil) {
		l.fault(l.root.Get("expires"), "expires", "wants after: 1h, or at: the path of a time")
	}
	l.pause(f.After, 0)
}

func (l *loader) settle() {
	s := l.written.Settle
	for _, after := range s.After {
		l.file.Settle = append(l.file.Settle, l.pause(after, 0))
	}
	if s.Until.Node != nil && len(s.After) == 0 {
		l.fault(s.Until.Node, "settle.until", "wants settle.after: when to ask again")
	}
}
