package script

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pollux/providers/strictyaml"
)

// Template is text with placeholders, such as {id} or {hex:16}. A brace that
// is followed by a lower-case letter opens a placeholder, which no JSON syntax
// does, so that a body is written as the JSON it will be. The zero value is
// empty.
type Template struct {
	pieces []Piece
	node   *strictyaml.Node // where it stands, for faults
}

// Piece is a stretch of literal text (Name "") or one placeholder.
type Piece struct {
	Text string // literal text
	Name string // as in "hex"
	Args string // what follows the first colon, as in "16:trace"
}

// Moments and their styles: {created_unix}, {now_rfc3339_ms}, ...
var (
	momentNames = []string{"now", "created", "started", "ended", "reset"}
	timeStyles  = []string{"unix", "unix_ms", "rfc3339", "rfc3339_ms", "rfc3339_ns", "local_us", "offset", "http"}
	plainNames  = []string{
		"id", "percent", "step", "steps", "stage", "canary", "filler", "uuid", "base", "base_path",
		"retry_after", "rate_limit", "rate_remaining", "tasks", "cursor",
	}
	sizedNames = []string{"hex", "digits", "alnum", "base32", "nonce"} // {hex:16} or {hex:16:label}
	namedNames = []string{"param", "request", "uuid"}                  // {param:user_id}, {uuid:label}, {request:path} or {request:path:value}
)

// nameForm is what a placeholder may be called.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ParseTemplate reads a template without checking the names in it.
func ParseTemplate(text string) Template {
	var t Template
	for text != "" {
		open := openBrace(text)
		length := strings.IndexByte(text[open:], '}')
		if open == len(text) || length < 0 {
			t.pieces = append(t.pieces, Piece{Text: text})
			break
		}
		if open > 0 {
			t.pieces = append(t.pieces, Piece{Text: text[:open]})
		}
		name, args, _ := strings.Cut(text[open+1:open+length], ":")
		t.pieces = append(t.pieces, Piece{Name: name, Args: args})
		text = text[open+length+1:]
	}
	return t
}

// openBrace returns where the first placeholder of text opens, or len(text).
func openBrace(text string) int {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '{' && 'a' <= text[i+1] && text[i+1] <= 'z' {
			return i
		}
	}
	return len(text)
}

// UnmarshalNode reads a scalar.
func (t *Template) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	switch n.Kind() {
	case strictyaml.Map, strictyaml.List:
		return strictyaml.Faults{n.Fault("want a text")}
	}
	*t = ParseTemplate(n.Scalar())
	t.node = n
	return nil
}

// Empty reports whether the template is unset or writes nothing.
func (t Template) Empty() bool { return len(t.pieces) == 0 }

// Append appends the template to dst, its placeholders written by fill.
func (t Template) Append(dst []byte, fill func(dst []byte, p Piece) []byte) []byte {
	for _, p := range t.pieces {
		if p.Name == "" {
			dst = append(dst, p.Text...)
		} else {
			dst = fill(dst, p)
		}
	}
	return dst
}

// Request splits what {request:path:value} says: the GJSON path in the body of
// the creating request, and the value that is written where it finds nothing
// ("": none). Of any other piece it returns "".
func (p Piece) Request() (path, fallback string) {
	if p.Name != "request" {
		return "", ""
	}
	path, fallback, _ = strings.Cut(p.Args, ":")
	return path, fallback
}

// checkNames reports the placeholders that are neither built in nor values.
func (t Template) checkNames(values map[string]Choice) strictyaml.Faults {
	var faults strictyaml.Faults
	for _, p := range t.pieces {
		if _, ok := values[p.Name]; p.Name == "" || ok && p.Args == "" {
			continue
		}
		if fault := p.fault(); fault != "" {
			faults = append(faults, t.node.Fault("%s", fault))
		}
		if _, fallback := p.Request(); fallback != "" && values[fallback] == nil {
			faults = append(faults, t.node.Fault("{request:path:value} names no value of this section"))
		}
	}
	return faults
}

// fault says what is wrong with a placeholder, "" if nothing. A name is part of
// the message only if it looks like one, as the text may be anything.
func (p Piece) fault() string {
	size, _, _ := strings.Cut(p.Args, ":")
	switch {
	case slices.Contains(sizedNames, p.Name):
		if n, err := strconv.Atoi(size); err != nil || n < 1 || n > 256 {
			return "{" + p.Name + ":N} wants a length from 1 to 256"
		}
	case p.Args != "" && slices.Contains(namedNames, p.Name):
	case p.Args == "" && slices.Contains(plainNames, p.Name):
	case p.Args == "" && isMoment(p.Name):
	case nameForm.MatchString(p.Name):
		return "unknown placeholder {" + p.Name + "}"
	default:
		return "unknown placeholder"
	}
	return ""
}

func isMoment(name string) bool {
	moment, style, ok := strings.Cut(name, "_")
	return ok && slices.Contains(momentNames, moment) && slices.Contains(timeStyles, style)
}

// builtin reports whether name is taken by a placeholder of ours.
func builtin(name string) bool {
	return slices.Contains(plainNames, name) || slices.Contains(sizedNames, name) ||
		slices.Contains(namedNames, name) || isMoment(name)
}
