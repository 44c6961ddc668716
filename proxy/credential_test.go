package proxy

import (
	"net/http"
	"testing"
)

// TestOneCredentialManyProjects: what an upstream says to a credential holds for
// every project that its caller names beside it.
func TestOneCredentialManyProjects(t *testing.T) {
	for name, test := range map[string]struct {
		code int // to project one
		want int // for project two
	}{
		"too many polls": {http.StatusTooManyRequests, http.StatusTooManyRequests},
		"refused":        {http.StatusUnauthorized, http.StatusGatewayTimeout}, // nothing that is stored is shown
	} {
		t.Run(name, func(t *testing.T) {
			f := newFace(t, nil)
			all := upstreams(f.base)
			u := all["vessl"]
			u.Provider = "openai"
			all["openai"] = u
			f.replace(all, DefaultConfig())
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.Header.Get("OpenAI-Project") == "one" {
					w.Header().Set("Retry-After", "60")
					w.WriteHeader(test.code)
				}
				_, _ = w.Write([]byte(`{"id": "` + lastSegment(r) + `", "object": "response", "status": "in_progress"}`))
			})
			get := func(id, project string, headers ...string) int {
				return f.do("GET", "/v1/tasks/openai/"+id, "", append(headers, "Authorization: Bearer sk-1", "OpenAI-Project: "+project)...).StatusCode
			}
			if code := get("resp_two", "two"); code != http.StatusOK {
				t.Fatalf("project two, before: %d", code)
			}
			if code := get("resp_one", "one"); code != test.code {
				t.Fatalf("project one: %d, want %d", code, test.code)
			}
			id, header := "resp_two", []string{"Cache-Control: only-if-cached"}
			if test.code == http.StatusTooManyRequests {
				id, header = "resp_other", nil
			}
			before := f.polls.Load()
			if code := get(id, "two", header...); code != test.want || f.polls.Load() != before {
				t.Errorf("project two, after: %d with %d polls, want %d and none", code, f.polls.Load()-before, test.want)
			}
			if code := f.do("GET", "/v1/tasks/openai/resp_three", "", "Authorization: Bearer sk-2", "OpenAI-Project: two").StatusCode; code != http.StatusOK {
				t.Errorf("another credential: %d", code)
			}
		})
	}
}
