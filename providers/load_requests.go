package providers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pollux/normalize"
	"pollux/providers/strictyaml"
)

// What a poll section means where it is silent.
const (
	defaultMin = time.Second
	defaultMax = 15 * time.Second
)

func (l *loader) poll() {
	f, p := &l.file.Poll, &l.p.Poll
	p.Request = l.request(f.Request, "poll.request", false)
	if f.Request.node != nil && p.Request.Method != "" && p.Request.Method != http.MethodGet {
		l.fault(f.Request.node, "", "want a GET request: a poll changes nothing")
	}
	if p.Request.Method != "" {
		l.everyParamOnce(f.Request, &p.Request)
	}
	p.Min = l.pause(f.Min, defaultMin)
	p.First = l.pause(f.First, p.Min)
	p.Max = l.pause(f.Max, max(p.Min, defaultMax))
	p.MaxQueued = l.pause(f.MaxQueued, 0)
	p.GiveUp = l.pause(f.GiveUp, 0)
	if p.Max < p.Min {
		l.fault(f.Max.node, "poll.max", "is less than min")
	}
	if f.MaxQueued.node != nil && p.MaxQueued < p.Min {
		l.fault(f.MaxQueued.node, "", "is less than min")
	}
	for _, step := range f.Steps {
		p.Steps = append(p.Steps, l.pause(step, 0))
	}
	p.Growth = f.Growth.value
	if f.Growth.node != nil && !(p.Growth >= 1 && p.Growth <= 100) {
		l.fault(f.Growth.node, "", "want a factor from 1 to 100")
	}
	if f.Growth.node != nil && len(f.Steps) > 0 {
		l.fault(f.Growth.node, "", "means nothing beside steps")
	}
	p.Bypass.Headers = l.headers(f.Bypass.Headers, "poll.bypass.headers")
	for i, name := range p.Bypass.Headers {
		if slices.Contains(l.p.Identity.Headers, name) {
			l.fault(f.Bypass.Headers[i].node, "", "is listed in identity.headers, and cannot be both")
		}
	}
}

// pause is a positive duration of the file, or what holds where it has none.
func (l *loader) pause(d duration, absent time.Duration) time.Duration {
	switch {
	case d.node == nil:
		return absent
	case d.value <= 0 && !d.node.Broken():
		l.fault(d.node, "", "want a positive duration")
	}
	return d.value
}

// request parses a template. wild lets it hold placeholders that are no
// parameters.
func (l *loader) request(t text, key string, wild bool) Request {
	if t.node == nil {
		l.fault(nil, key, "is missing: a method and a path, such as GET /v1/jobs/{id}")
		return Request{}
	}
	if t.node.Broken() || t.value == "" && t.node.Scalar() != "" {
		return Request{} // not a string, and already reported
	}
	r, faults := parseRequest(t.value, l.p.param, wild)
	for _, message := range faults {
		l.fault(t.node, key, "%s", message)
	}
	return r
}

// everyParamOnce checks that the poll's path and query agree with params.
func (l *loader) everyParamOnce(t text, r *Request) {
	for i, param := range l.p.Params {
		inPath, inQuery := r.uses(i)
		switch {
		case param.In == "path" && (inPath != 1 || inQuery > 0):
			l.fault(t.node, "", "wants {%s} once in its path, where params says it is", param.Name)
		case param.In == "query" && (inPath > 0 || inQuery > 1):
			l.fault(t.node, "", "has {%s} elsewhere than once in its query, where params says it is", param.Name)
		}
	}
	for _, q := range r.query {
		if q.param >= 0 && l.p.Params[q.param].Name != q.name {
			l.fault(t.node, "", "wants {%s} under its own name", l.p.Params[q.param].Name)
		}
		if _, known := l.p.param(q.name); q.param == literal && known || slices.Contains(l.p.Identity.Query, q.name) {
			l.fault(t.node, "", "gives a parameter of this file a fixed value")
		}
	}
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
	c := Create{Request: l.request(f.Request, key+".request", true), Continues: f.Continues.value, params: map[int]string{}}
	if len(c.Request.query) > 0 {
		l.fault(f.Request.node, "", "a create is known by its path alone, so it has no query")
	}
	if len(f.ID) == 0 {
		l.fault(nil, key+".id", "is missing: the GJSON path of the id in the answer")
	}
	for _, id := range f.ID {
		l.path(id)
		c.ID = append(c.ID, id.value)
	}
	if f.Continues.node != nil {
		l.path(f.Continues)
	}
	for _, link := range f.Links {
		l.path(link)
		c.Links = append(c.Links, link.value)
	}
	for _, member := range f.Params {
		l.path(member.value)
		i, ok := l.p.param(member.name)
		if !ok {
			l.fault(member.node, "", "is no parameter of this file")
			continue
		}
		c.params[i] = member.value.value
	}
	l.p.Creates = append(l.p.Creates, c)
}

// path checks a GJSON path.
func (l *loader) path(t text) {
	if t.node == nil || t.node.Broken() {
		return
	}
	if err := normalize.CheckPath(t.value); err != nil {
		l.fault(t.node, "", "%s", err)
	}
}

func (l *loader) cancel() {
	f := l.file.Cancel
	if f == nil {
		return
	}
	a := &Action{Request: l.request(f.Request, "cancel.request", false), refused: l.condition(f.Refused)}
	if f.Request.value != "" && a.Request.Method == http.MethodGet {
		l.fault(f.Request.node, "", "want a request that changes something, so not GET")
	}
	for _, ok := range f.OK {
		if ok.value < 200 || ok.value > 299 {
			l.fault(ok.node, "cancel.ok", "want codes from 200 to 299")
		}
		a.OK = append(a.OK, ok.value)
	}
	if f.Body != nil {
		a.Body = make(map[string]string, len(*f.Body))
		for _, member := range *f.Body {
			if name, ok := placeholder(member.value.value); ok {
				if _, known := l.p.param(name); !known {
					l.fault(member.node, "", "{%s} is no parameter of this file", name)
				}
			} else if strings.ContainsAny(member.value.value, "{}") {
				l.fault(member.node, "", "want {param} alone, or plain text")
			}
			a.Body[member.name] = member.value.value
		}
	}
	l.p.Cancel = a
}

// placeholder returns the name in "{name}".
func placeholder(s string) (name string, ok bool) {
	inner, open := strings.CutPrefix(s, "{")
	name, closed := strings.CutSuffix(inner, "}")
	return name, open && closed && isName(name)
}

func (l *loader) touch() {
	for _, t := range l.file.Touch {
		r := l.request(t, "touch", false)
		if r.Method == http.MethodGet || len(r.query) > 0 {
			l.fault(t.node, "", "want a request that changes something, known by its method and path")
		}
		l.p.touch = append(l.p.touch, r)
	}
}
