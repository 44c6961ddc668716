package normalize

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxPath bounds a GJSON path, in bytes. It also bounds how deep the checker
// recurses.
const maxPath = 1024

// CheckPath reports what is wrong with a GJSON path. gjson itself takes any
// text and finds nothing, so that a slip would read as an absent field. Accepted
// is what its SYNTAX.md documents, a little stricter where gjson guesses: names
// that start with @ must be modifiers (or be escaped), brackets, quotes and # in
// a key must be escaped, text in a query must be quoted, and #[…], nan, inf and
// the JSON lines prefix are out.
//
// After @fromstr a value may nest without limit, so a path that has one may not
// have a second, nor @valid, @pretty, @dig or @flatten with an argument: gjson
// runs these recursively, and an upstream could end the process through them.
func CheckPath(path string) error {
	switch {
	case path == "":
		return errors.New("empty path")
	case len(path) > maxPath:
		return fmt.Errorf("path longer than %d bytes", maxPath)
	case !utf8.ValidString(path):
		return errors.New("path is not UTF-8")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("control character in path")
	}
	if strings.Contains(path, "://") {
		return errors.New("this is a URL; want the path of a member of the answer")
	}
	if same, foreign := fromPointer(path); foreign {
		return fmt.Errorf("this is a JSON pointer; the same as a GJSON path is %s", same)
	}
	if same, foreign := fromJSONPath(path); foreign {
		return fmt.Errorf("this is JSONPath; the same as a GJSON path is %s", same)
	}
	var c pathChecker
	if err := c.path(path); err != nil {
		if bracketIndex.MatchString(path) {
			return fmt.Errorf("%w; an index is written %s", err, withoutBrackets(path))
		}
		return err
	}
	if c.decodes > 1 || c.decodes > 0 && c.recurses {
		return errors.New("@fromstr together with another @fromstr, @valid, @pretty, @dig or @flatten with an argument")
	}
	return nil
}

// bracketIndex is an index or wildcard in brackets, as JSONPath has it.
var bracketIndex = regexp.MustCompile(`\[(\d+|\*)\]`)

// withoutBrackets writes bracketed indices and names as GJSON does.
func withoutBrackets(path string) string {
	path = bracketIndex.ReplaceAllStringFunc(path, func(index string) string {
		return "." + strings.Replace(index[1:len(index)-1], "*", "#", 1)
	})
	path = strings.NewReplacer("['", ".", "']", "", `["`, ".", `"]`, "").Replace(path)
	return strings.Trim(strings.ReplaceAll(path, "..", "."), ".")
}

// fromJSONPath returns what a JSONPath is in GJSON. One is known by $ before a
// dot or bracket; a name that really starts so has the $ escaped.
func fromJSONPath(path string) (same string, foreign bool) {
	rest, dollar := strings.CutPrefix(path, "$")
	switch {
	case !dollar || rest != "" && rest[0] != '.' && rest[0] != '[':
		return "", false
	case rest == "":
		return "@this", true
	}
	return withoutBrackets(rest), true
}

// fromPointer returns what a JSON pointer (RFC 6901) is in GJSON. One is known
// by its first slash; a name that really starts so has the slash escaped.
func fromPointer(path string) (same string, foreign bool) {
	pointer, foreign := strings.CutPrefix(path, "/")
	parts := strings.Split(pointer, "/")
	for i, part := range parts {
		parts[i] = gjson.Escape(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return strings.Join(parts, "."), foreign
}

// pathChecker remembers, over a whole path, which modifiers were met.
type pathChecker struct {
	decodes  int // uses of @fromstr
	recurses bool
}

// path checks components up to the end of s. Literals are recognised where
// gjson starts afresh: at the start and after a pipe.
func (c *pathChecker) path(s string) error {
	fresh := true
	for i := 0; ; i++ {
		if i == len(s) {
			return errors.New("path ends in a separator")
		}
		n, err := c.component(s[i:], fresh)
		if err != nil {
			return err
		}
		if i += n; i == len(s) {
			return nil
		}
		if s[i] != '.' && s[i] != '|' {
			return fmt.Errorf("unexpected %q after %q", s[i], s[:i])
		}
		fresh = s[i] == '|'
	}
}

// component returns the length of the component that s starts with.
func (c *pathChecker) component(s string, fresh bool) (int, error) {
	switch s[0] {
	case '.', '|':
		return 0, errors.New("empty component")
	case '@':
		return c.modifier(s)
	case '!':
		if !fresh {
			return 0, errors.New(`a literal needs "|" before it`)
		}
		return literal(s)
	case '[', '{':
		return c.multipath(s)
	case '#':
		return c.array(s)
	}
	return key(s)
}

// key measures a member name or index, wildcards and escapes included.
func key(s string) (int, error) {
	i := 0
	for ; i < len(s) && s[i] != '.' && s[i] != '|'; i++ {
		switch c := s[i]; c {
		case '\\':
			if i++; i == len(s) {
				return 0, errors.New("nothing after the backslash")
			}
		case '#', '(', ')', '[', ']', '{', '}', '"':
			return 0, fmt.Errorf(`%q in a key must be written \%c`, c, c)
		}
	}
	if s[0] == ' ' || s[i-1] == ' ' && (i < 2 || s[i-2] != '\\') {
		return 0, errors.New("space around a key")
	}
	return i, nil
}

// argument says what a modifier takes after a colon.
type argument uint8

const (
	argNone argument = iota
	argOptions
	argPath
)

// modifiers are those that come with gjson.
var modifiers = map[string]argument{
	"reverse": argNone, "ugly": argNone, "this": argNone, "valid": argNone, "keys": argNone, "values": argNone,
	"tostr": argNone, "fromstr": argNone, "group": argNone,
	"pretty": argOptions, "flatten": argOptions, "join": argOptions,
	"dig": argPath,
}

func (c *pathChecker) modifier(s string) (int, error) {
	n := strings.IndexAny(s, ".|:")
	if n < 0 {
		n = len(s)
	}
	name := s[1:n]
	takes, known := modifiers[name]
	if !known {
		return 0, fmt.Errorf(`unknown modifier %q; a key is written \%s`, s[:n], s[:n])
	}
	hasArgument := n < len(s) && s[n] == ':'
	switch name {
	case "fromstr":
		c.decodes++
	case "valid", "pretty", "dig":
		c.recurses = true
	case "flatten":
		c.recurses = c.recurses || hasArgument
	}
	switch {
	case !hasArgument && takes == argPath:
		return 0, fmt.Errorf("@%s needs a path after a colon", name)
	case !hasArgument:
		return n, nil
	case takes == argNone:
		return 0, fmt.Errorf("@%s takes no argument", name)
	}
	size, err := c.modifierArgument(s[n+1:], takes)
	return n + 1 + size, err
}

// modifierArgument measures what follows the colon of a modifier: an object of
// options, or a path up to the next pipe.
func (c *pathChecker) modifierArgument(s string, takes argument) (int, error) {
	if takes == argOptions {
		size, err := bracketed(s)
		if err != nil || s[0] != '{' || !gjson.Valid(s[:size]) {
			return 0, errors.New("a modifier's options must be a JSON object")
		}
		return size, nil
	}
	size := 0
	for size < len(s) && s[size] != '|' { // gjson knows no escapes here
		if strings.IndexByte(`{["(`, s[size]) < 0 {
			size++
			continue
		}
		n, err := bracketed(s[size:])
		if err != nil {
			return 0, err
		}
		size += n
	}
	if size == 0 {
		return 0, errors.New("empty path")
	}
	return size, c.path(s[:size])
}

// bracketed measures the bracketed or quoted text that s starts with.
func bracketed(s string) (int, error) {
	var open []byte
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if i = skipString([]byte(s), i) - 1; i >= len(s) {
				return 0, errors.New("quote without end")
			}
		case '(':
			open = append(open, ')')
		case '[':
			open = append(open, ']')
		case '{':
			open = append(open, '}')
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != s[i] {
				return 0, fmt.Errorf("unexpected %q", s[i])
			}
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return i + 1, nil
		}
	}
	return 0, errors.New("bracket or quote without end")
}

// outside returns where the first of stops is in s that stands in no brackets or
// quotes and is not escaped, len(s) if none does.
func outside(s, stops string) (int, error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(stops, c) >= 0:
			return i, nil
		case c == '\\':
			i++
		case strings.IndexByte(`{[("`, c) >= 0:
			n, err := bracketed(s[i:])
			if err != nil {
				return 0, err
			}
			i += n - 1
		}
	}
	return len(s), nil
}

// literal measures a constant such as !"x" or !{"a":1}. gjson reads strings and
// numbers to the end of the path, so nothing may follow those.
func literal(s string) (int, error) {
	n := len(s)
	switch rest := s[1:]; {
	case rest == "":
		return 0, errors.New("empty literal")
	case rest[0] == '{' || rest[0] == '[':
		size, err := bracketed(rest)
		if err != nil {
			return 0, err
		}
		n = 1 + size
	case 'a' <= rest[0] && rest[0] <= 'z':
		if i := strings.IndexAny(s, ".|"); i >= 0 {
			n = i
		}
	}
	if !gjson.Valid(s[1:n]) || strings.TrimSpace(s[1:n]) != s[1:n] {
		return 0, errors.New("a literal must be JSON")
	}
	return n, nil
}

// multipath checks [a,b] and {"x":a,b}. It splits as gjson does, which takes
// any colon outside brackets for the end of a name.
func (c *pathChecker) multipath(s string) (int, error) {
	size, err := bracketed(s)
	if err != nil {
		return 0, err
	}
	for rest := s[1 : size-1]; ; {
		n, err := outside(rest, ",")
		if err != nil {
			return 0, err
		}
		if err := c.selector(s[0], rest[:n]); err != nil || n == len(rest) {
			return size, err
		}
		rest = rest[n+1:]
	}
}

// selector checks one part of a multipath. A colon is of a modifier if one has
// begun, else the end of a name.
func (c *pathChecker) selector(kind byte, s string) error {
	colon, err := outside(s, ":")
	if err != nil {
		return err
	}
	if name := s[:colon]; colon < len(s) && (name != "" && name[0] == '"' || !strings.Contains(name, ".@") && !strings.Contains(name, "|@")) {
		if kind == '[' || name == "" || name[0] == '@' || name[0] == '"' != gjson.Valid(name) {
			return fmt.Errorf("bad name %q in a multipath", name)
		}
		s = s[colon+1:]
	}
	if s == "" {
		return errors.New("empty path in a multipath")
	}
	return c.path(s)
}

// array measures #, #(query) and #(query)#.
func (c *pathChecker) array(s string) (int, error) {
	if len(s) == 1 || s[1] == '.' || s[1] == '|' {
		return 1, nil
	}
	if s[1] != '(' {
		return 0, errors.New(`"#" must stand alone or before "("; in a key it is written \#`)
	}
	size, err := bracketed(s[1:])
	if err != nil {
		return 0, err
	}
	if err := c.query(s[2:size]); err != nil {
		return 0, err
	}
	n := 1 + size
	if n < len(s) && s[n] == '#' {
		n++
	}
	return n, nil
}

// query checks what stands in #(…): a path, a comparison, or both.
func (c *pathChecker) query(s string) error {
	at, err := outside(s, "!=<>%")
	if err != nil {
		return err
	}
	left := strings.Trim(s[:at], " ")
	if left != "" {
		if err := c.path(left); err != nil {
			return err
		}
	}
	if at == len(s) {
		if left == "" {
			return errors.New("empty query")
		}
		return nil
	}
	for _, op := range []string{"==", "!=", "!%", "<=", ">=", "=", "<", ">", "%"} {
		if value, ok := strings.CutPrefix(s[at:], op); ok {
			return operand(strings.Trim(value, " "))
		}
	}
	return errors.New("unknown operator in a query")
}

// operand checks the right side of a comparison.
func operand(s string) error {
	switch s {
	case "":
		return errors.New("nothing to compare with in a query")
	case "true", "false", "~true", "~false", "~null", "~*":
		return nil
	case "null":
		return errors.New("== null matches nothing; write ~null")
	}
	if s[0] == '"' && gjson.Valid(s) || isNumber(s) {
		return nil
	}
	return errors.New("text in a query must be quoted")
}

// plainKeys returns the decoded components that path starts with as long as
// each is one member or index, and whether that is all of it.
func plainKeys(path string) (keys []string, all bool) {
	for {
		var part strings.Builder
		i := 0
		for ; i < len(path) && path[i] != '.' && path[i] != '|'; i++ {
			switch path[i] {
			case '*', '?', '#', '@', '!', '[', '{':
				if i == 0 || path[i] == '*' || path[i] == '?' {
					return keys, false
				}
			case '\\':
				if i++; i == len(path) {
					return keys, false
				}
			}
			part.WriteByte(path[i])
		}
		if keys = append(keys, part.String()); i == len(path) {
			return keys, true
		}
		path = path[i+1:]
	}
}
