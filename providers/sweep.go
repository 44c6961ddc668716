package providers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/zeebo/xxh3"

	"pollux/normalize"
	"pollux/providers/format"
	"pollux/providers/template"
)

// SweepGroup names the listing that would show the task r: tasks with the same
// name are told about by one sweep. It is made of the reference's other values.
func (p *Provider) SweepGroup(r Reference) string {
	var b []byte
	for i, value := range r.Values {
		if i != p.Params.Task() {
			b = append(template.AppendQueryValue(b, value), '&')
		}
	}
	return string(b)
}

// SweepRequest returns the request for a page of the listing that shows the
// task r: the first one, or that of a cursor. net/http never repeats it.
func (p *Provider) SweepRequest(ctx context.Context, base *url.URL, r Reference, cursor string, c Credential) (*http.Request, error) {
	values := slices.Clone(r.Values)
	if task := p.Params.Task(); task >= 0 && task < len(values) {
		values[task] = ""
	}
	req, err := p.request(ctx, &p.Sweep.Request, nil, base, Reference{values}, c)
	if err != nil {
		return nil, fmt.Errorf("build sweep request of provider %s: %w", p.Name, err)
	}
	if cursor != "" {
		pair := p.Sweep.CursorParam + "=" + string(template.AppendQueryValue(nil, cursor))
		req.URL.RawQuery = strings.TrimPrefix(withoutPair(req.URL.RawQuery, p.Sweep.CursorParam)+"&"+pair, "&")
	}
	return req, nil
}

// withoutPair is a query without the parameter of that name.
func withoutPair(query, name string) string {
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
	return strings.Join(kept, "&")
}

// SweepPage is what one page of a listing tells.
type SweepPage struct {
	Items []SweepItem // of wanted tasks, in the order of the page
	Next  string      // cursor of the next page, "" if this is the last
}

// SweepItem is one task of a listing.
type SweepItem struct {
	Reference Reference
	Body      []byte  // the item, as an answer to its own poll would be
	Verdict   Verdict // always Answered
}

// StatusOnly is what the item of a partial listing makes of what its task's own
// answer said, known: the item's status, and nothing else of it. known may be
// the verdict on no answer.
func (i SweepItem) StatusOnly(known Verdict) Verdict {
	v := known
	if v.Kind != Answered {
		v = Verdict{Kind: Answered, Task: normalize.Task{ID: i.Verdict.Task.ID}}
	}
	of := &i.Verdict.Task
	v.Task.Status, v.Task.NativeStatus, v.Task.CancelRequested = of.Status, of.NativeStatus, of.CancelRequested
	v.Task.StatusReason, v.Task.RequiredAction, v.UnknownWord = "", nil, i.Verdict.UnknownWord
	v.Task.UpdatedAt = time.Time{}
	v.Digest = xxh3.Hash128(v.Task.AppendJSON(nil)).Bytes()
	return v
}

// ReadSweep reads a page of the listing that shows the task r. wanted says of
// which tasks something is to be known, by their ids; whatever else the page
// has costs next to nothing. A task of which two different items tell is left
// out, since neither is to be believed, and so is one whose item is no answer.
// ok is false, with the verdict about the page, if it is no listing.
func (p *Provider) ReadSweep(r Reference, page Answer, wanted func(id string) bool, now time.Time) (read SweepPage, v Verdict, ok bool) {
	items, v, ok := p.sweepItems(r, page, now)
	if !ok {
		return SweepPage{}, v, false
	}
	if p.Sweep.Next != "" {
		read.Next, _ = textAt(page.Body, p.Sweep.Next)
	}
	first, doubtful := map[string]int{}, map[string]bool{}
	items.ForEach(func(_, item gjson.Result) bool {
		body := []byte(item.Raw)
		id := ""
		if item.IsObject() {
			id = firstID([]format.IDSource{p.Sweep.ID}, nil, body)
		}
		if id == "" || !wanted(id) {
			return true
		}
		if at, again := first[id]; again {
			doubtful[id] = doubtful[id] || string(read.Items[at].Body) != item.Raw
			return true
		}
		about := Reference{slices.Clone(r.Values)}
		about.Values[p.Params.Task()] = id
		if v := p.Judge(about, p.Sweep.Code, nil, body, now); v.Kind == Answered {
			first[id] = len(read.Items)
			read.Items = append(read.Items, SweepItem{about, body, v})
		}
		return true
	})
	read.Items = slices.DeleteFunc(read.Items, func(i SweepItem) bool { return doubtful[p.taskID(i.Reference)] })
	return read, v, true
}

// sweepItems finds the list of a page.
func (p *Provider) sweepItems(r Reference, page Answer, now time.Time) (items gjson.Result, v Verdict, ok bool) {
	if page.Code != http.StatusOK {
		v = p.judgeRefusal(r, page.Code, page.Body, "")
		v.RetryAfter = p.wait(page.Header, nil, false, now)
		return items, v, false
	}
	if normalize.CheckValue(page.Body) == nil && !isHTML(page.Header.Get("Content-Type")) {
		items = gjson.GetBytes(page.Body, p.Sweep.Items)
	}
	if !items.IsArray() {
		return items, Verdict{Kind: BadAnswer, Reason: "the upstream's listing has no list where sweep.items says", ServerFault: true}, false
	}
	return items, v, true
}
