package providers

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pollux/normalize"
)

func TestSweep(t *testing.T) {
	p := builtins(t).Get("openai-batches")
	base, _ := url.Parse("https://h/v1")
	r := Reference{[]string{"batch_1", ""}}
	first, err := p.SweepRequest(t.Context(), base, r, "", Credential{Headers: []Field{{"Authorization", "Bearer k"}}})
	if err != nil || first.URL.RequestURI() != "/v1/batches?limit=100" || first.Header.Get("Authorization") != "Bearer k" {
		t.Fatalf("first page: %v, %v", first.URL, err)
	}
	if next, err := p.SweepRequest(t.Context(), base, r, "a&b", Credential{}); err != nil || next.URL.RequestURI() != "/v1/batches?limit=100&after=a%26b" {
		t.Fatalf("next page: %v, %v", next.URL, err)
	}
	item := func(id, status string) string {
		return fmt.Sprintf(`{"id":%q,"object":"batch","status":%q,"request_counts":{"total":2,"completed":1,"failed":0}}`, id, status)
	}
	ours := func(id string) bool { return id == "batch_1" || id == "batch_2" || id == "batch_3" }
	tests := []struct {
		name, body string
		want       string // id status, ...
		next       string
	}{
		{"two of ours", item("batch_1", "in_progress") + "," + item("batch_9", "failed") + "," + item("batch_2", "completed"), "batch_1 in_progress, batch_2 completed", "l"},
		{"none of ours", item("batch_8", "completed"), "", "l"},
		{"twice the same", item("batch_1", "completed") + "," + item("batch_1", "completed"), "batch_1 completed", "l"},
		{"twice, differently", item("batch_1", "in_progress") + "," + item("batch_1", "completed") + "," + item("batch_2", "completed"), "batch_2 completed", "l"},
		{"without a status", `{"id":"batch_1"},` + item("batch_2", "completed"), "batch_2 completed", "l"},
		{"no objects", `1,"batch_1",null,["batch_1"],` + item("batch_3", "new"), "batch_3 unknown", "l"},
		{"empty", "", "", "l"},
	}
	for _, tt := range tests {
		body := `{"object":"list","data":[` + tt.body + `],"last_id":"l","has_more":true}`
		page, v, ok := p.ReadSweep(r, Answer{200, http.Header{}, []byte(body)}, ours, noon)
		var got []string
		for _, i := range page.Items {
			if i.Verdict.Kind != Answered || i.Verdict.Task.ID != i.Reference.Values[0] {
				t.Errorf("%s: an item of %s is %s about %s", tt.name, i.Reference.Values[0], i.Verdict.Kind, i.Verdict.Task.ID)
			}
			got = append(got, i.Reference.Values[0]+" "+string(i.Verdict.Task.Status))
		}
		if !ok || strings.Join(got, ", ") != tt.want || page.Next != tt.next {
			t.Errorf("%s: %q, next %q (%s), want %q, next %q", tt.name, got, page.Next, v.Reason, tt.want, tt.next)
		}
	}
	if page, _, ok := p.ReadSweep(r, Answer{200, nil, []byte(`{"data":[],"last_id":"l","has_more":false}`)}, ours, noon); !ok || page.Next != "" {
		t.Errorf("the last page goes on at %q", page.Next)
	}
	for name, a := range map[string]Answer{
		"no list": {200, nil, []byte(`{"data":{}}`)}, "no JSON": {200, nil, []byte(`<p>`)}, "a page": {200, http.Header{"Content-Type": {"text/html"}}, []byte(`{"data":[]}`)},
		"refused": {401, nil, []byte(`{}`)}, "broken": {503, nil, nil}, "too often": {429, http.Header{"Retry-After": {"9"}}, nil},
	} {
		if _, v, ok := p.ReadSweep(r, a, ours, noon); ok || v.Kind == Answered || v.Reason == "" {
			t.Errorf("%s: ok %v, %s", name, ok, v.Kind)
		}
	}
	if !p.Sweep.Covers(normalize.Completed) {
		t.Error("a listing without covers shows every status")
	}
}

// What a listing's items lack of an answer to a poll, items puts around them.
func TestSweepWrapsItems(t *testing.T) {
	for _, tt := range []struct{ provider, body, id string }{
		{"slurm", `{"jobs":[{"job_id":40,"job_state":"FAILED"},{"job_id":41,"job_state":"RUNNING"}]}`, "41"},
		{"dbt-cloud", `{"data":[{"id":5679,"status":10},{"id":5678,"status":3}]}`, "5678"},
		{"gemini-batches", `{"operations":[{"name":"batches/b1","metadata":{"state":"BATCH_STATE_RUNNING"}}]}`, "b1"},
		{"databricks", `{"runs":[{"run_id":455,"state":{"life_cycle_state":"RUNNING"}}],"next_page_token":"n"}`, "455"},
	} {
		p := builtins(t).Get(tt.provider)
		r := Reference{make([]string, len(p.Params))}
		for i := range r.Values {
			r.Values[i] = "7"
		}
		page, v, ok := p.ReadSweep(r, Answer{200, nil, []byte(tt.body)}, func(id string) bool { return id == tt.id }, noon)
		if !ok || len(page.Items) != 1 || page.Items[0].Verdict.Task.Status != normalize.InProgress || page.Items[0].Verdict.Task.ID != tt.id {
			t.Errorf("%s: %+v, %v %s, want task %s in progress", tt.provider, page.Items, ok, v.Reason, tt.id)
		}
	}
}

// TestSweepJudgesByWords: an item has no code, so none that decides is taken
// for its own.
func TestSweepJudgesByWords(t *testing.T) {
	file := func(codes string) string {
		return "name: coded\nidentity: {headers: [K]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}', documents: [200, 202]}\n" +
			"status: {path: s, words: {busy: in_progress}, codes: {" + codes + "}}\nsweep: {request: GET /, items: '@this', id: id}\n"
	}
	p := parse(t, "coded", file("200: completed"))
	page, _, ok := p.ReadSweep(Reference{[]string{"1"}}, Answer{200, nil, []byte(`[{"id":"1","s":"busy"}]`)}, func(string) bool { return true }, noon)
	if !ok || len(page.Items) != 1 || page.Items[0].Verdict.Task.Status != normalize.InProgress {
		t.Errorf("an item that is busy is %+v", page.Items)
	}
	if _, faults := parseProvider("coded.yaml", []byte(file("200: completed, 202: in_progress"))); !strings.Contains(faults.Error(), "can tell of no task") {
		t.Errorf("faults of a listing under codes alone: %v", faults)
	}
}

func TestSweepGroup(t *testing.T) {
	p := builtins(t).Get("github-actions")
	a, b, c := Reference{[]string{"o", "r", "1"}}, Reference{[]string{"o", "r", "2"}}, Reference{[]string{"o", "s", "1"}}
	if p.SweepGroup(a) != p.SweepGroup(b) || p.SweepGroup(a) == p.SweepGroup(c) || p.SweepGroup(Reference{[]string{"a&b", "", "1"}}) == p.SweepGroup(Reference{[]string{"a", "b", "1"}}) {
		t.Error("runs of one repository are told about by one listing, those of another by another")
	}
	base, _ := url.Parse("https://h")
	if req, err := p.SweepRequest(t.Context(), base, a, "", Credential{}); err != nil || req.URL.RequestURI() != "/repos/o/r/actions/runs?per_page=100" {
		t.Errorf("listing at %v, %v", req.URL, err)
	}
}

// A large listing of strangers costs little, and no document.
func BenchmarkReadSweep(b *testing.B) {
	p := builtins(b).Get("openai-batches")
	body := []byte(`{"data":[` + strings.TrimSuffix(strings.Repeat(`{"id":"batch_x","status":"completed","request_counts":{"total":1}},`, 10000), ",") + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		p.ReadSweep(Reference{[]string{"batch_1", ""}}, Answer{200, nil, body}, func(string) bool { return false }, noon)
	}
}
