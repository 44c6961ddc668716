package normalize

import "strings"

// blankLine stands between the messages of an output.
const blankLine = "\n\n"

// joinText makes one text of a list of strings. A list that holds lists is a
// list of messages: their texts are joined by a blank line, what is inside each
// of them by nothing, however deep. A list of strings alone is the parts of one
// message, joined by nothing. separator, if not nil, is used between the
// outermost elements instead. What is no string is skipped, and so are messages
// without text. It returns false if there is no string at all.
func joinText(list string, separator *string) (string, bool) {
	var parts []string
	nested, found := false, false
	eachElement(list, func(element string) {
		nested = nested || element[0] == '['
		var part strings.Builder
		if flatten(element, &part) {
			found = true
		}
		if part.Len() > 0 {
			parts = append(parts, part.String())
		}
	})
	switch {
	case separator != nil:
		return strings.Join(parts, *separator), found
	case nested:
		return strings.Join(parts, blankLine), found
	}
	return strings.Join(parts, ""), found
}

// flatten appends every string in value, a string or a list, and reports
// whether there was one.
func flatten(value string, out *strings.Builder) (found bool) {
	switch value[0] {
	case '"':
		out.WriteString(decodeString(value))
		return true
	case '[':
		eachElement(value, func(element string) {
			if flatten(element, out) {
				found = true
			}
		})
	}
	return found
}
