package providers

import (
	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// textAt returns the string or number under a GJSON path in a body that
// normalize.CheckBody accepts; a number as it is written.
func textAt(body []byte, path string) (string, bool) {
	switch r := gjson.GetBytes(body, path); r.Type {
	case gjson.String:
		return r.Str, true
	case gjson.Number:
		return r.Raw, true
	}
	return "", false
}

// firstText is the text under the first of paths that leads to one, "" if
// body is no JSON object or none does.
func firstText(body []byte, paths []string) string {
	if normalize.CheckBody(body) != nil {
		return ""
	}
	for _, path := range paths {
		if s, ok := textAt(body, path); ok {
			return s
		}
	}
	return ""
}
