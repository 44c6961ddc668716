package providers

import (
	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// textAt returns the string or number under a GJSON path in a body that
// normalize.CheckAnswer accepts; a number as it is written.
func textAt(body []byte, path string) (string, bool) { return textOf(gjson.GetBytes(body, path)) }

func textOf(r gjson.Result) (string, bool) {
	switch r.Type {
	case gjson.String:
		return r.Str, true
	case gjson.Number:
		return r.Raw, true
	}
	return "", false
}

// nameAt is textAt for what names a task or a part of its reference. A string
// with half of a surrogate pair names nothing: it comes with ok false.
func nameAt(body []byte, path string) (text string, ok bool) {
	return nameOf(gjson.GetBytes(body, path))
}

func nameOf(r gjson.Result) (text string, ok bool) {
	text, ok = textOf(r)
	return text, ok && !normalize.LoneSurrogate(r.Raw)
}
