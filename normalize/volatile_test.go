package normalize

import "testing"

func TestStrip(t *testing.T) {
	v := volatile{}
	for _, path := range []string{"at", "meta.trace", "meta.trace.id", "list.1.t", "list.2", `a\.b`, "gone.x", "deep.er.still", "deep.er"} {
		keys, _ := plainKeys(path)
		v.add(keys)
	}
	tests := []struct {
		body, want string
		any        bool
	}{
		{`{"at":1}`, `{}`, true},
		{`{"x": 1, "at": [2], "y":{"at":3}}`, `{"x":1,"y":{"at":3}}`, true},
		{`{"at":1,"x":1,"\u0061t":2}`, `{"x":1}`, true},
		{`{"meta":{"trace":{"id":1},"b":[ 1, 2 ]},"x":2.50}`, `{"meta":{"b":[ 1, 2 ]},"x":2.50}`, true},
		{`{"meta":"text"}`, `{"meta":"text"}`, false},
		{`{"list":[{"t":1},{"t":2,"u":3},4,5]}`, `{"list":[{"t":1},{"u":3},null,5]}`, true},
		{`{"a.b":1,"a":{"b":2}}`, `{"a":{"b":2}}`, true},
		{`{"deep":{"er":{"still":1},"x":0}}`, `{"deep":{"x":0}}`, true},
		{`{"gone":null}`, `{"gone":null}`, false},
		{`{ } `, `{}`, false},
	}
	for _, tt := range tests {
		if got, stripped := v.strip(nil, tt.body); string(got) != tt.want || stripped != tt.any {
			t.Errorf("strip(%s) = %s, %v, want %s, %v", tt.body, got, stripped, tt.want, tt.any)
		}
	}
}

func TestDigests(t *testing.T) {
	shannonSpec := shannon()
	orq, shannon := compiled(t, orq()), compiled(t, shannonSpec)
	const orqDone = `{"task_id":"1","status":"completed","model":"m","telemetry":{"trace_id":"a"}}`
	const shannonRuns = `{"task_id":"1","status":"RUNNING","created_at":"2026-06-02T13:05:19Z","updated_at":"2026-06-02T13:05:19Z"}`
	type testPair struct {
		name             string
		m                *Mapping
		a, b             string
		document, native bool // equal
	}
	tests := []testPair{
		{"volatile member of metadata", orq, orqDone, `{"task_id":"1","status":"completed","model":"m","telemetry":{"trace_id":"b"}}`, true, true},
		{"volatile member appears", orq, `{"task_id":"1","status":"completed","model":"m"}`, orqDone, true, true},
		{"model changes", orq, orqDone, `{"task_id":"1","status":"completed","model":"n","telemetry":{"trace_id":"a"}}`, false, false},
		{"something unmapped changes", orq, orqDone, `{"task_id":"1","status":"completed","model":"m","x":1,"telemetry":{"trace_id":"a"}}`, true, false},
		{"fake times", shannon, shannonRuns, `{"task_id":"1","status":"RUNNING","created_at":"2026-06-02T13:05:29Z","updated_at":"2026-06-02T13:05:29Z"}`, true, true},
		{"volatile while it runs", shannon, `{"task_id":"1","status":"RUNNING","metadata":{"model_breakdown":[1]}}`, `{"task_id":"1","status":"RUNNING","metadata":{"model_breakdown":[2]}}`, true, true},
		{"volatile no more", shannon, `{"task_id":"1","status":"COMPLETED","metadata":{"model_breakdown":[1]}}`, `{"task_id":"1","status":"COMPLETED","metadata":{"model_breakdown":[2]}}`, false, false},
		{"blanks", shannon, shannonRuns, "\n " + shannonRuns + "\n", true, true},
		{"status changes", shannon, shannonRuns, `{"task_id":"1","status":"COMPLETED","created_at":"2026-06-02T13:05:19Z","updated_at":"2026-06-02T13:05:19Z"}`, false, false},
	}
	watched := shannonSpec
	watched.Fields = append(watched.Fields, fieldOf("metadata.late", when("query", `text("updated_at") > "2026-06-02T13:05:20Z"`)))
	late := compiled(t, watched)
	tests = append(tests, testPair{"condition over a volatile member", late, shannonRuns[:len(shannonRuns)-1] + `,"query":"q"}`,
		`{"task_id":"1","status":"RUNNING","created_at":"2026-06-02T13:05:29Z","updated_at":"2026-06-02T13:05:29Z","query":"q"}`, true, true})
	for _, tt := range tests {
		a, errA := tt.m.Map(answer(tt.a))
		b, errB := tt.m.Map(answer(tt.b))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := a.Digest == b.Digest; got != tt.document {
			t.Errorf("%s: equal documents %v, want %v", tt.name, got, tt.document)
		}
		if got := a.NativeDigest == b.NativeDigest; got != tt.native {
			t.Errorf("%s: equal bodies %v, want %v", tt.name, got, tt.native)
		}
	}
}

func TestTouches(t *testing.T) {
	v := volatile{}
	v.add([]string{"a", "b"})
	for path, want := range map[string]bool{
		"a": true, "a.b": true, "a.b.c": true, "a|b": true, "a.#(x)": true, "a.@this": true, "@this.x": true, "[x,a]": true, "*": true,
		"x": false, "a.x": false, "a.x.#": false, "b": false,
	} {
		if got := v.touches(path); got != want {
			t.Errorf("touches(%q) = %v, want %v", path, got, want)
		}
	}
	if (volatile{}).touches("@this") {
		t.Error("an empty set is touched")
	}
}

// A status that hangs on a volatile member is a change all the same.
func TestDigestSeesVolatileStatus(t *testing.T) {
	spec := vessl()
	spec.Status.Rules = []RuleSpec{ruleOf(`kind("flag") == "true"`, OutcomeSpec{Status: InProgress})}
	spec.Volatile = volatiles("flag")
	m := compiled(t, spec)
	a, _ := m.Map(answer(`{"status":"pending","flag":true}`))
	b, _ := m.Map(answer(`{"status":"pending","flag":false}`))
	if a.Digest == b.Digest {
		t.Errorf("documents with status %s and %s have one digest", a.Task.Status, b.Task.Status)
	}
}
