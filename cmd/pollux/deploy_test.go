package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// series is what a running Pollux serves under one name.
type series map[string]map[string]bool // label values by label

// scraped is everything that a Pollux serves after some traffic, by the name
// that queries use.
func scraped(t *testing.T) map[string]series {
	t.Helper()
	server, front := simulated(t)
	id, err := server.Create("vessl", nil, "team-1", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("listen: 127.0.0.1:0\nstore: {path: %s}\nupstreams:\n  one: {provider: vessl, base_url: %s/vessl, rate: {requests: 100, per: 1m}}\n",
		filepath.Join(dir, "pollux.db"), front.URL)
	p := start(t, "serve", "--config", writeIn(t, dir, "config.yaml", config))
	base := "http://" + p.stderr.await(t, `msg=listening address=(\S+)`)[1]
	for path, want := range map[string]int{"/v1/tasks/one/" + id: 200, "/native/one/request/none/x": 404, "/nowhere": 404, "/v1/fleet": 200} {
		if code, body, _ := get(t, base+path); code != want {
			t.Errorf("%s: got %d, want %d: %s", path, code, want, body)
		}
	}
	if answer, err := http.Post(base+"/v1/tasks/batch", "text/plain", strings.NewReader("x")); err != nil || answer.Body.Close() != nil || answer.StatusCode != 415 {
		t.Errorf("a batch that is no JSON: %v %v", answer, err)
	}
	code, text, _ := get(t, base+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("metrics: %d %s", code, text)
	}
	if end := p.end(t); end != exitOK {
		t.Errorf("serve ended with %d:\n%s", end, p.stderr)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]series{}
	for name, family := range families {
		labels := series{}
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				if labels[pair.GetName()] == nil {
					labels[pair.GetName()] = map[string]bool{}
				}
				labels[pair.GetName()][pair.GetValue()] = true
			}
		}
		served[name] = labels
		if family.GetMetric()[0].GetHistogram() != nil {
			buckets := maps.Clone(labels)
			buckets["le"] = map[string]bool{}
			served[name+"_bucket"], served[name+"_sum"], served[name+"_count"] = buckets, labels, labels
		}
	}
	return served
}

var (
	variable  = regexp.MustCompile(`\$\{?[a-zA-Z_]+\}?`)
	selector  = regexp.MustCompile(`\b((?:pollux|process|go)_[a-z_]+)\b(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping  = regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`)
	plainWord = regexp.MustCompile(`^[a-z_-]+$`)
)

// external are the labels that the scrape adds.
var external = []string{"instance", "job"}

// checkExpression compares a query with what is served: names, labels, and
// label values that are written out.
func checkExpression(t *testing.T, where, expr string, served map[string]series) {
	t.Helper()
	fault := func(format string, args ...any) { t.Errorf("%s: %s, in %s", where, fmt.Sprintf(format, args...), expr) }
	// Grafana fills in its variables before Prometheus parses a query.
	if _, err := metricsql.Parse(variable.ReplaceAllString(expr, "5m")); err != nil {
		fault("syntax: %v", err)
	}
	known := map[string]bool{}
	found := selector.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 && !strings.HasPrefix(expr, "up{") {
		fault("no metric")
	}
	for _, m := range found {
		labels, ok := served[m[1]]
		if !ok && servedElsewhere[m[1]] != "" {
			continue
		}
		if !ok {
			fault("%s is not served", m[1])
			continue
		}
		for label := range labels {
			known[label] = true
		}
		for _, match := range matcher.FindAllStringSubmatch(m[2], -1) {
			values, ok := labels[match[1]]
			if !ok && !slices.Contains(external, match[1]) {
				fault("%s has no label %s", m[1], match[1])
			}
			for value := range strings.SplitSeq(match[3], "|") {
				if ok && plainWord.MatchString(value) && !values[value] {
					fault("%s has no %s %s", m[1], match[1], value)
				}
			}
		}
	}
	for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); !known[label] && !slices.Contains(external, label) {
				fault("nothing has a label %s", label)
			}
		}
	}
}

// TestDeploy: what the alert rules and the Grafana dashboard ask for is served,
// and what is served is documented.
func TestDeploy(t *testing.T) {
	served := scraped(t)
	read := func(path string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(read("deploy/prometheus/pollux.rules.yaml"), &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	alerts := map[string]bool{}
	documented := string(read("docs/operations.md"))
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			checkExpression(t, rule.Alert, rule.Expr, served)
			if alerts[rule.Alert] || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s is there twice, or lacks its severity, summary or description", rule.Alert)
			}
			alerts[rule.Alert] = true
			if !strings.Contains(documented, "`"+rule.Alert+"`") {
				t.Errorf("docs/operations.md does not say what to do about %s", rule.Alert)
			}
		}
	}
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read("deploy/grafana/pollux.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			checkExpression(t, panel.Title, target.Expr, served)
		}
	}
	for name := range served {
		name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "pollux_") && !strings.Contains(documented, "`"+name+"`") {
			t.Errorf("docs/operations.md does not list %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`(pollux_[a-z_]+)`").FindAllStringSubmatch(documented, -1) {
		_, ok := served[name[1]]
		if source, elsewhere := servedElsewhere[name[1]]; elsewhere && !ok {
			ok = strings.Contains(string(read(source)), `"`+name[1]+`"`)
		}
		if !ok {
			t.Errorf("docs/operations.md lists %s, which is not served", name[1])
		}
	}
}

// servedElsewhere are metrics that this test's configuration does not have, with
// the file that registers them: of messages, listings and access tokens of
// upstreams, and of a shared store.
var servedElsewhere = map[string]string{
	"pollux_inbound_messages_total": "proxy/inbound/inbound.go",
	"pollux_hints_total":            "proxy/poller/hint.go",
	"pollux_sweep_pages_total":      "proxy/poller/sweep/table.go",
	"pollux_sweep_tasks_total":      "proxy/poller/sweep/table.go",
	"pollux_token_requests_total":   "proxy/poller/upstream/metrics.go",
	"pollux_replicas":               "cmd/pollux/metrics.go",
	"pollux_slots_owned":            "cmd/pollux/metrics.go",
	"pollux_notices_current":        "cmd/pollux/metrics.go",
	"pollux_notice_lag_seconds":     "cmd/pollux/metrics.go",
	"pollux_store_connections":      "cmd/pollux/metrics.go",
}
