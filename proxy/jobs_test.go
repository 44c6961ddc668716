package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/providers"
	"pollux/providers/sandbox"
	"pollux/proxy/poller/upstream"
)

// shape is how an API tells of its jobs.
type shape struct {
	provider, lifecycle  string
	method, create, body string
	link                 string // to polls: a GJSON path into the create's answer, or a header and a colon; "" for none
	poll                 string // where polls go, %s is the id
	ref                  string
	credential           string
	codes                [2]int // of the first native poll, and of the last
	ended                string // is in the body of the last
	status, path, want   string // of the document at its end
}

// start creates a job through Pollux and returns its id.
func (s *shape) start(h *hooked) string {
	h.t.Helper()
	made := h.do(s.method, "/native/"+s.provider+s.create, s.body, s.credential, sandbox.LifecycleHeader+": "+s.lifecycle)
	if made.StatusCode >= 300 {
		h.t.Fatalf("create: %d %s", made.StatusCode, made.body)
	}
	if s.link == "" {
		return strings.TrimPrefix(gjson.Get(made.body, "name").Str, "operations/")
	}
	link := gjson.Get(made.body, s.link).Str
	if name, isHeader := strings.CutSuffix(s.link, ":"); isHeader {
		link = made.Header.Get(name)
	}
	before, after, _ := strings.Cut(s.poll, "%s")
	id, begins := strings.CutPrefix(link, before)
	id, ends := strings.CutSuffix(id, after)
	if !begins || !ends || id == "" {
		h.t.Fatalf("the create of %s leads to %q, want %s", s.provider, link, s.poll)
	}
	return id
}

func (s *shape) pollOf(id string) string { return strings.Replace(s.poll, "%s", id, 1) }
func (s *shape) refOf(id string) string  { return strings.Replace(s.ref, "%s", url.PathEscape(id), 1) }

// check compares a document with the job's end.
func (s *shape) check(t *testing.T, document string) {
	t.Helper()
	if status, got := gjson.Get(document, "status").Str, gjson.Get(document, s.path).String(); status != s.status || got != s.want {
		t.Errorf("%s with %s %q, want %s with %q\n%s", status, s.path, got, s.status, s.want, document)
	}
}

// TestJobsOfEveryShape takes a job of each shape that APIs have to its end, by
// every face: as a document, byte for byte, and by a webhook. Each job is
// created through Pollux, and all that is known of it is what that taught.
func TestJobsOfEveryShape(t *testing.T) {
	t.Parallel()
	set, err := providers.Builtin()
	must(t, err)
	simulated, err := sandbox.New(set, sandbox.Options{Seed: 1, Speed: 20})
	must(t, err)
	vendor := httptest.NewServer(simulated)
	t.Cleanup(vendor.Close)
	h := newHooked(t, nil)
	all := map[string]upstream.Config{}
	shapes := []shape{
		{"fal", "good", "POST", "/fal-ai/flux/dev", `{"prompt":"an otter"}`,
			"status_url", "/native/fal/fal-ai/flux/requests/%s/status", "fal/fal-ai/flux/%s", "Authorization: Key k",
			[2]int{202, 200}, `"COMPLETED"`, "completed", "output.data.prompt", "an otter"},
		{"fal", "bad", "POST", "/fal-ai/flux/dev", `{"prompt":"no"}`,
			"status_url", "/native/fal/fal-ai/flux/requests/%s/status", "fal/fal-ai/flux/%s", "Authorization: Key k",
			[2]int{202, 200}, `"COMPLETED"`, "failed", "error.code", "content_policy_violation"},
		{"azure-async", "good", "PUT", "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/disks/d?api-version=2024-07-01", `{}`,
			"Azure-AsyncOperation:", "/native/azure-async/subscriptions/s1/providers/Microsoft.Compute/locations/westeurope/operations/%s?api-version=2024-07-01",
			"azure-async/s1/westeurope/%s?api-version=2024-07-01", "Authorization: Bearer k",
			[2]int{202, 200}, `"Succeeded"`, "completed", "native_status", "Succeeded"},
		{"azure-async", "bare", "PUT", "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Compute/disks/d?api-version=2024-07-01", `{}`,
			"Azure-AsyncOperation:", "/native/azure-async/subscriptions/s1/providers/Microsoft.Compute/locations/westeurope/operations/%s?api-version=2024-07-01",
			"azure-async/s1/westeurope/%s?api-version=2024-07-01", "Authorization: Bearer k",
			[2]int{202, 204}, "", "completed", "native_status", "204"},
		{"snowflake", "good", "POST", "/api/v2/statements", `{"statement":"select 1"}`,
			"statementStatusUrl", "/native/snowflake/api/v2/statements/%s", "snowflake/%s", "Authorization: Bearer k",
			[2]int{202, 200}, `"090001"`, "completed", "metadata.result_set_meta_data.format", "jsonv2"},
		{"snowflake", "bad", "POST", "/api/v2/statements", `{"statement":"selct"}`,
			"statementStatusUrl", "/native/snowflake/api/v2/statements/%s", "snowflake/%s", "Authorization: Bearer k",
			[2]int{202, 422}, `"002140"`, "failed", "error.message", "SQL compilation error"},
		{"google-lro", "good", "POST", "/v1/projects/p/things", `{}`,
			"", "/native/google-lro/v1/operations/%s", "google-lro/%s", "x-goog-api-key: k",
			[2]int{200, 200}, `"done": true`, "completed", `output.data.\@type`, "type.googleapis.com/example.Answer"},
		{"google-lro", "bad", "POST", "/v1/projects/p/things", `{}`,
			"", "/native/google-lro/v1/operations/%s", "google-lro/%s", "x-goog-api-key: k",
			[2]int{200, 200}, `"done": true`, "failed", "error.message", "The resource was not found."},
		{"http-202", "good", "POST", "/reports", `{}`,
			"Location:", "/native/http-202/operations/%s", "http-202/%s", "Authorization: Bearer k",
			[2]int{202, 200}, `"answer"`, "completed", "native_status", "200"},
		{"http-202", "elsewhere", "POST", "/reports", `{}`,
			"Location:", "/native/http-202/operations/%s", "http-202/%s", "Authorization: Bearer k",
			[2]int{202, 303}, "", "completed", "native_status", "303"},
	}
	for _, s := range shapes {
		u := upstream.DefaultConfig()
		u.Provider, u.BaseURL, u.Timeout = s.provider, vendor.URL+"/"+s.provider, 5*time.Second
		all[s.provider] = u
	}
	cfg := DefaultConfig()
	cfg.Webhooks.AllowNetworks = []string{"127.0.0.0/8"}
	h.replace(all, cfg)
	jobs := make([]struct {
		document, native, webhook string // ids of three jobs, all under way at the same time
		first                     *answer
	}, len(shapes))
	for i, s := range shapes {
		job := &jobs[i]
		job.document, job.webhook = s.start(h), s.start(h)
		for try := 0; try < 5 && (try == 0 || job.first.StatusCode != s.codes[0]); try++ { // a busy machine may come after its end
			job.native = s.start(h)
			job.first = h.do("GET", s.pollOf(job.native), "", s.credential, "Cache-Control: no-cache")
		}
		if made := h.register(`["`+s.refOf(job.webhook)+`"]`, s.credential); made.StatusCode != http.StatusCreated {
			t.Fatalf("register: %d %s", made.StatusCode, made.body)
		}
	}
	for i, s := range shapes {
		job := jobs[i]
		t.Run(s.provider+" "+s.lifecycle, func(t *testing.T) {
			s.check(t, h.do("GET", "/v1/tasks/"+s.refOf(job.document), "", s.credential, "Prefer: wait=20").body)

			last := job.first
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				last = h.do("GET", s.pollOf(job.native), "", s.credential)
				if last.StatusCode == s.codes[1] && strings.Contains(last.body, s.ended) {
					break
				}
			}
			if got := [2]int{job.first.StatusCode, last.StatusCode}; got != s.codes || !strings.Contains(last.body, s.ended) {
				t.Errorf("native polls are %d, want %d, and the last with %s:\n%s", got, s.codes, s.ended, last.body)
			}

			message := h.awaitOf(job.webhook)
			if got := gjson.Get(message, "type").Str; got != "task."+s.status {
				t.Errorf("the message is a %s", got)
			}
			s.check(t, gjson.Get(message, "data").Raw)
		})
	}
}
