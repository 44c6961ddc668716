package providers

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestDocumentedExample loads the example of docs/providers.md and maps the
// answers that the page shows beside it.
func TestDocumentedExample(t *testing.T) {
	page, err := os.ReadFile("../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(language string) []string {
		var all []string
		for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(page, -1) {
			all = append(all, string(m[1]))
		}
		return all
	}
	files, answers := blocks("yaml"), blocks("json")
	if len(files) == 0 || !strings.HasPrefix(files[0], "name: acme") || len(answers) != 3 {
		t.Fatalf("%d files and %d answers on the page, want the file first, and 3 answers", len(files), len(answers))
	}
	p := parse(t, "acme", files[0])
	for i, want := range []map[string]string{
		{"status": `"in_progress"`, "progress.steps_completed": "40", "usage.cost_usd": "null"},
		{"status": `"completed"`, "output.text": `"Two scenes. No sound."`, "usage.cost_usd": "0.31", "completed_at": `"2026-06-02T13:06:39Z"`},
		{"status": `"failed"`, "error.code": `"E_SCENE"`, "error.message": `"scene 2 is empty"`},
	} {
		v := p.Judge(Reference{[]string{"j_81", ""}}, 200, nil, []byte(answers[i]), noon)
		if v.Kind != Answered {
			t.Fatalf("answer %d: %s", i+1, v.Reason)
		}
		document := v.Task.AppendJSON(nil)
		for path, want := range want {
			if got := gjson.GetBytes(document, path).Raw; got != want {
				t.Errorf("answer %d: %s = %s, want %s", i+1, path, got, want)
			}
		}
	}
}
