package strictyaml

import (
	"reflect"
	"slices"
	"strings"
)

// nearest is the name among fields that key may have been meant to be, "" if
// none is near.
func nearest(key string, fields map[string]reflect.Value) string {
	key = strings.ToLower(key)
	if len(key) > 32 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(key)/3)
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if d := distance(key, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is how many bytes have to be changed, added or taken away to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
