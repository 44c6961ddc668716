package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"pollux/proxy/poller/upstream"
)

// linkedFace is a face with upstreams of other providers, each below /base of
// the scripted upstream; fal's credential is ours.
func linkedFace(t *testing.T, change func(*Config)) *face {
	f := newFace(t, change)
	all := upstreams(f.base)
	for _, name := range []string{"fal", "snowflake", "replicate", "azure-async", "http-202", "github-actions"} {
		u := upstream.DefaultConfig()
		u.Provider, u.BaseURL, u.Timeout = name, f.base+"/base", 5*time.Second
		all[name] = u
	}
	fal := all["fal"]
	fal.Credential = upstream.CredentialConfig{Value: "held-secret"}
	all["fal"] = fal
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	f.replace(all, cfg)
	return f
}

// TestNativeAnswersLeadThroughPollux: no link that a provider file declares
// takes a client, and the Pollux key that it sends along, to the vendor.
func TestNativeAnswersLeadThroughPollux(t *testing.T) {
	const (
		key    = "X-Pollux-Key: key-all"
		own    = "Authorization: Bearer one"
		fal    = `{"status": "IN_PROGRESS", "request_id":"r1","status_url" : "{up}/o/a/requests/r1/status","response_url":"{up}\/o\/a\/requests\/r1", "n": 1.0}`
		falled = `{"status": "IN_PROGRESS", "request_id":"r1","status_url" : "{us}/o/a/requests/r1/status","response_url":"{us}/o/a/requests/r1", "n": 1.0}`
		snow   = `{"code":"{code}","statementHandle":"h1","message":"m","statementStatusUrl":"/base/api/v2/statements/h1?requestId=1&x=%2F"}`
		snowed = `{"code":"{code}","statementHandle":"h1","message":"m","statementStatusUrl":"{us}/api/v2/statements/h1?requestId=1&x=%2F"}`
		rep    = `{"id":"p1","status":"processing","urls":{"get":"{up}/predictions/p1","cancel":"{up}/predictions/p1/cancel","web":"{up}/x"}}`
		reped  = `{"id":"p1","status":"processing","urls":{"get":"{us}/predictions/p1","cancel":"{us}/predictions/p1/cancel","web":"{up}/x"}}`
	)
	const (
		run    = `{"id":7,"status":"queued","conclusion":null,"url":"{up}/repos/o/r/actions/runs/7","html_url":"https://github.test/o/r","logs_url":"{up}/repos/o/r/actions/runs/7/logs","repository":{"url":"{up}/repos/o/r","description":"/"}}`
		runed  = `{"id":7,"status":"queued","conclusion":null,"url":"{us}/repos/o/r/actions/runs/7","html_url":"https://github.test/o/r","logs_url":"{us}/repos/o/r/actions/runs/7/logs","repository":{"url":"{us}/repos/o/r","description":"/"}}`
		moved  = `{"name":"o1","status":"Succeeded","resourceLocation":"{up}/subscriptions/s/things/t1?api-version=1"}`
		movedd = `{"name":"o1","status":"Succeeded","resourceLocation":"{us}/subscriptions/s/things/t1?api-version=1"}`
	)
	for _, public := range []string{"", "https://pollux.test/p"} {
		for _, tt := range []struct {
			name, method, path string
			headers            []string
			coding             string
			code               int
			answer, want       string
		}{
			{"poll", "GET", "/native/fal/o/a/requests/r1/status", []string{key}, "", 202, fal, falled},
			{"poll of its own", "GET", "/native/fal/o/a/requests/r1/status?x=1", []string{key}, "", 202, fal, falled},
			{"poll with a cookie", "GET", "/native/fal/o/a/requests/r1/status", []string{key, "Cookie: a=b"}, "", 202, fal, falled},
			{"create", "POST", "/native/fal/o/a/sub", []string{key}, "", 200, fal, falled},
			{"create in a coding that nobody asked for", "POST", "/native/fal/o/a", []string{key}, "gzip", 200, fal, falled},
			{"relative", "GET", "/native/snowflake/api/v2/statements/h1", []string{key, own}, "", 202,
				strings.ReplaceAll(snow, "{code}", "333334"), strings.ReplaceAll(snowed, "{code}", "333334")},
			{"a document with a code of refusal", "GET", "/native/snowflake/api/v2/statements/h1", []string{key, own}, "", 422,
				strings.ReplaceAll(snow, "{code}", "002140"), strings.ReplaceAll(snowed, "{code}", "002140")},
			{"create that is refused", "POST", "/native/snowflake/api/v2/statements", []string{key, own}, "", 422,
				strings.ReplaceAll(snow, "{code}", "002140"), strings.ReplaceAll(snowed, "{code}", "002140")},
			{"poll of an object of links", "GET", "/native/replicate/predictions/p1", []string{key, own}, "", 200, rep, reped},
			{"poll of many links", "GET", "/native/github-actions/repos/o/r/actions/runs/7", []string{key, own}, "", 200, run, runed},
			{"where the result is", "GET", "/native/azure-async/subscriptions/s/providers/Microsoft.Compute/locations/l/operations/o1?api-version=1", []string{key, own}, "", 200, moved, movedd},
			{"cancel", "POST", "/native/replicate/predictions/p1/cancel", []string{key, own}, "", 200, rep, reped},
			{"no document", "GET", "/native/replicate/predictions/p1", []string{key, own}, "", 500, rep, reped},
		} {
			t.Run(tt.name+public, func(t *testing.T) {
				f := linkedFace(t, func(c *Config) { withClients(c); c.PublicURL = public })
				fill := strings.NewReplacer("{up}", f.base+"/base", "{us}", public+"/native/"+strings.Split(tt.path, "/")[2])
				f.answer(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Pollux-Key") != "" {
						t.Error("the upstream sees a Pollux key")
					}
					w.Header().Set("Content-Type", "application/json")
					body := fill.Replace(tt.answer)
					if tt.coding == "gzip" {
						w.Header().Set("Content-Encoding", "gzip")
						body = zipped(body)
					}
					w.WriteHeader(tt.code)
					_, _ = io.WriteString(w, body)
				})
				body := ""
				if tt.method == "POST" {
					body = `{"a":1}`
				}
				want := fill.Replace(tt.want)
				for range 2 { // the second may come from memory
					if a := f.do(tt.method, tt.path, body, tt.headers...); a.StatusCode != tt.code || a.body != want || a.ContentLength != int64(len(want)) || a.Header.Get("Content-Encoding") != "" {
						t.Errorf("%d %v\n%s, want\n%s", a.StatusCode, a.Header, a.body, want)
					}
				}
			})
		}
	}
}

// TestNativeLinksOfMemory: what is kept stays as it came, and the validator is
// of what was sent.
func TestNativeLinksOfMemory(t *testing.T) {
	change := func(c *Config) { withClients(c); c.PublicURL = "https://one.test" }
	f := linkedFace(t, change)
	up := `{"status":"COMPLETED","request_id":"r1","status_url":"` + f.base + `/base/o/a/requests/r1/status"}`
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/status") {
			up = `{"a":1}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, up)
	})
	const key, path = "X-Pollux-Key: key-all", "/native/fal/o/a/requests/r1/status"
	received := up
	first := f.do("GET", path, "", key)
	etag := first.Header.Get("ETag")
	if etag == "" || gjson.Get(first.body, "status_url").Str != "https://one.test"+path {
		t.Fatalf("%v %s", first.Header, first.body)
	}
	for range 2 {
		if not := f.do("GET", path, "", key, "If-None-Match: "+etag); not.StatusCode != 304 || not.Header.Get("ETag") != etag {
			t.Errorf("conditional: %d %v", not.StatusCode, not.Header)
		}
	}
	if a := f.do("GET", "/v1/tasks/fal/o/a/r1?include=native", "", key); gjson.Get(a.body, "native").Raw != received {
		t.Errorf("include=native: %s", a.body)
	}
	cfg := DefaultConfig()
	change(&cfg)
	cfg.PublicURL = "https://two.test"
	must(t, f.reload(cfg))
	other := f.do("GET", path, "", key, "If-None-Match: "+etag)
	if other.StatusCode != 200 || gjson.Get(other.body, "status_url").Str != "https://two.test"+path || other.Header.Get("ETag") == etag {
		t.Errorf("elsewhere: %d %v %s", other.StatusCode, other.Header, other.body)
	}
}

// TestNativeLinkHeaders: headers that a provider file declares lead through
// Pollux like Location, on polls and creates.
func TestNativeLinkHeaders(t *testing.T) {
	f := linkedFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Azure-AsyncOperation", f.base+"/base/op/1?api-version=2")
		w.Header().Set("Location", f.base+"/base/result/1")
		w.Header().Set("Content-Location", f.base+"/base/now/1")
		w.Header().Set("Link", "<"+f.base+`/base/help>; rel="help"`)
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Other", f.base+"/base/op/1")
		_, _ = io.WriteString(w, `{"status":"InProgress"}`)
	})
	const poll = "/native/azure-async/subscriptions/s/providers/Microsoft.Compute/locations/l/operations/o1?api-version=2024-01-01"
	want := map[string]string{
		"Azure-AsyncOperation": "/native/azure-async/op/1?api-version=2", "Location": "/native/azure-async/result/1",
		"Content-Location": "/native/azure-async/now/1", "Link": `</native/azure-async/help>; rel="help"`, "Retry-After": "7",
	}
	check := func(name string, headers ...string) *answer {
		t.Helper()
		a := f.do("GET", poll, "", append(headers, "Authorization: Bearer one")...)
		for header, value := range want {
			if got := a.Header.Values(header); len(got) != 1 || got[0] != value && !(header == "Retry-After" && "1" <= got[0] && got[0] < value) { // it counts down
				t.Errorf("%s: %s %q, want %s", name, header, got, value)
			}
		}
		if got := a.Header.Get("X-Other"); strings.HasPrefix(got, "/native") {
			t.Errorf("%s: X-Other %q", name, got)
		}
		return a
	}
	check("forwarded", "Cookie: a=b")
	asked := check("asked")
	hit := check("from memory")
	not := check("unchanged", "If-None-Match: "+asked.Header.Get("ETag"))
	if hit.StatusCode != 200 || !strings.Contains(hit.Header.Get("Cache-Status"), "hit") || hit.Header.Get("X-Other") != "" || not.StatusCode != 304 {
		t.Errorf("%d %v, %d %v", hit.StatusCode, hit.Header, not.StatusCode, not.Header)
	}
}

// TestNativeRedirectOfMemory: where the result of a task is stays known with
// the answer that said so.
func TestNativeRedirectOfMemory(t *testing.T) {
	f := linkedFace(t, nil)
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/results/1" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"n": 1}`)
			return
		}
		w.Header().Set("Location", "/base/results/1")
		w.WriteHeader(http.StatusSeeOther)
	})
	for _, how := range []string{"stored", "hit"} {
		a := f.do("GET", "/native/http-202/operations/1", "")
		if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != "/native/http-202/results/1" || !strings.Contains(a.Header.Get("Cache-Status"), how) {
			t.Errorf("%s: %d, Location %q, %q", how, a.StatusCode, got, a.Header.Get("Cache-Status"))
		}
	}
	if a := f.do("GET", "/v1/tasks/http-202/1", ""); gjson.Get(a.body, "output.data.n").Int() != 1 {
		t.Errorf("document: %s", a.body)
	}
}
