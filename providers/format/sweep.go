package format

import (
	"net/http"
	"slices"

	"pollux/normalize"
	"pollux/providers/template"
)

// Sweep is a listing that tells about many tasks at once.
type Sweep struct {
	Request     template.Request
	Code        int                // HTTP code as which an item is judged, which has none of its own
	MaxPages    int                // of one sweep
	Partial     bool               // of an item only its status is believed, and an end is confirmed by a poll
	Items       string             // GJSON path of the list
	ID          IDSource           // inside an item
	Next        string             // GJSON path of the next page's cursor, "" if there is one page
	CursorParam string             // query parameter that takes it, "" if there is one page
	covers      []normalize.Status // empty: all
}

// defaultPages is how many pages of a listing are read where the file does
// not say.
const defaultPages = 10

func (l *loader) sweep() {
	f := l.written.Sweep
	if f == nil {
		return
	}
	s := &Sweep{Items: f.Items.Value, Partial: f.Partial, MaxPages: defaultPages}
	s.Request = l.request(f.Request, "sweep.request", false)
	if s.Request.Method != "" && s.Request.Method != http.MethodGet {
		l.fault(f.Request.Node, "", "want a GET request: a listing changes nothing")
	}
	if task := l.file.Params.Task(); task >= 0 && s.Request.Count(task) > 0 {
		l.fault(f.Request.Node, "", "names one task by {%s}, and wants the listing of many", l.file.Params[task].Name)
	}
	if f.Items.Node == nil {
		l.fault(nil, "sweep.items", "is missing: the GJSON path of the list; @this if the answer is one")
	}
	l.path(f.Items)
	if f.ID.Node == nil {
		l.fault(nil, "sweep.id", "is missing: the GJSON path of the task's id in an item")
	} else {
		s.ID = l.idSource(&f.ID, false)
	}
	if f.Next != nil {
		s.Next, s.CursorParam = f.Next.Path.Value, f.Next.Param.Value
		l.path(f.Next.Path)
		if f.Next.Path.Node == nil || !template.IsName(s.CursorParam) {
			l.fault(f.Next.Param.Node, "sweep.next", "wants path: where the answer has the next page's cursor, and param: the query parameter that takes it")
		}
	}
	if at := l.root.Nearest("sweep.covers"); len(f.Covers) == 0 && at.Path() == "sweep.covers" {
		l.fault(at, "", "want the statuses that the listing shows, such as [queued, in_progress]; leave it out if it shows all")
	}
	for _, status := range f.Covers {
		if !normalize.Status(status.Value).Valid() {
			l.fault(status.Node, "sweep.covers", "want statuses of tasks, such as in_progress")
		}
		s.covers = append(s.covers, normalize.Status(status.Value))
	}
	if f.MaxPages.Node != nil {
		if s.MaxPages = f.MaxPages.Value; s.MaxPages < 1 || s.MaxPages > 1000 {
			l.fault(f.MaxPages.Node, "", "want a number from 1 to 1000")
		}
	}
	l.file.Sweep = s
}

// itemCode finds the code of an answer that says of a task what an item does,
// by its words.
func (l *loader) itemCode() {
	at := slices.IndexFunc(l.file.Poll.Documents, func(code int) bool { return !l.file.Mapping.Decides(code) })
	if at < 0 {
		l.fault(l.root.Get("sweep"), "sweep", "can tell of no task: an item has no HTTP code, and status.codes has every code that is a document")
		return
	}
	l.file.Sweep.Code = l.file.Poll.Documents[at]
}

// Covers reports whether the listing shows tasks in that status.
func (s *Sweep) Covers(status normalize.Status) bool {
	return len(s.covers) == 0 || slices.Contains(s.covers, status)
}
