package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ShownTasks is of how many upstreams a task is shown: what fits a screen, of
// the shortest references.
const ShownTasks = 6

// Greet prints to w what to open and what to type.
func (f *Fleet) Greet(ctx context.Context, w io.Writer) {
	fmt.Fprintf(w, "Pollux is at %s, its upstreams are simulated.\n\n", f.base)
	if f.serves(ctx, "/dashboard") {
		fmt.Fprintf(w, "open   %s/dashboard\n       where a task wants the credential of its team: team-1, team-2 or team-3, in Authorization after Bearer\n", f.base)
	}
	fmt.Fprintln(w, "try")
	each := f.firstOfEach()
	for i, t := range each[:min(ShownTasks, len(each))] {
		flags := ""
		if i == 0 {
			flags = "-i "
		}
		fmt.Fprintf(w, "  curl %s%s '%s%s'\n", flags, t.curlCredential(), f.base, t.path)
	}
	fmt.Fprintf(w, "  pollux list --server %s  # tasks of all %d upstreams\n", f.base, len(each))
	fmt.Fprintf(w, "  curl %s/metrics\n  pollux top --server %s\n\n", f.base, f.base)
}

// serves reports whether Pollux has something at path.
func (f *Fleet) serves(ctx context.Context, path string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return false
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// firstOfEach is one task of the first team per upstream, the shortest
// references first.
func (f *Fleet) firstOfEach() []*task {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first []*task
	for _, t := range f.tasks[0] {
		if !slices.ContainsFunc(first, func(known *task) bool { return known.upstream == t.upstream }) {
			first = append(first, t)
		}
	}
	slices.SortStableFunc(first, func(a, b *task) int { return len(a.path) - len(b.path) })
	return first
}

// curlCredential is the credential as curl's flags. It opens simulated
// upstreams only, so it may be shown.
func (t *task) curlCredential() string {
	var flags []string
	for _, field := range t.credential.Headers {
		flags = append(flags, fmt.Sprintf("-H '%s: %s'", field.Name, field.Value))
	}
	return strings.Join(flags, " ")
}
