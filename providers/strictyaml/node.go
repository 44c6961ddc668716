package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is what a node was written as.
type Kind uint8

// The kinds of nodes. A plain scalar with an expanded ${NAME} in it is a
// String, whatever it expands to.
const (
	Null Kind = iota + 1
	String
	Bool
	Int
	Float
	Map
	List
)

// Node is one value of a file. It is immutable.
type Node struct {
	kind         Kind
	text         string // scalars: the value; of Null the word as written
	plain        bool   // a scalar without quotes
	expanded     bool   // a scalar that held ${NAME}
	broken       bool   // already reported: decoding it would only repeat that
	file, path   string
	line, column int
	items        []*Node
	pairs        []Pair
	probe        *probe // of a node that Schema made
}

// Pair is one member of a mapping, in the order of the file.
type Pair struct {
	Key            string
	KeyNode, Value *Node
}

// Kind is what n was written as.
func (n *Node) Kind() Kind { return n.kind }

// Scalar is the text of a scalar with its ${NAME}s expanded, "" for anything else.
func (n *Node) Scalar() string { return n.text }

// List is the elements of a List, nil for anything else.
func (n *Node) List() []*Node { return n.items }

// Map is the members of a Map in the order of the file, nil for anything else.
// A key that was given twice is in it once, with its first value.
func (n *Node) Map() []Pair { return n.pairs }

// Get is the value under key in a Map, nil if there is none.
func (n *Node) Get(key string) *Node {
	for _, p := range n.pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Path is the node's dotted key, as in "clients[2].name"; "" for the root.
func (n *Node) Path() string { return n.path }

// Line is where n starts, from 1.
func (n *Node) Line() int { return n.line }

// Column is where n starts in its line, in characters from 1.
func (n *Node) Column() int { return n.column }

// Broken reports whether n was reported when the file was parsed, such as for
// an unset variable. Its text means nothing then, and is worth no other fault.
func (n *Node) Broken() bool { return n.broken }

// Expanded reports whether a variable was put into n's text, so that the text
// is not in the file.
func (n *Node) Expanded() bool { return n.expanded }

// Fault is a fault at n. The message must not hold the node's text.
func (n *Node) Fault(format string, args ...any) Fault {
	return Fault{File: n.file, Line: n.line, Column: n.column, Key: n.path, Message: fmt.Sprintf(format, args...)}
}

// Nearest is the node under the dotted path as Path spells it, or the closest
// one above it that is in the file: where a fault about a missing key belongs.
func (n *Node) Nearest(path string) *Node {
	for {
		below := n.step(path)
		if below == nil {
			return n
		}
		n = below
	}
}

// step is the child of n that path leads to or through.
func (n *Node) step(path string) *Node {
	leads := func(c *Node) bool {
		rest, ok := strings.CutPrefix(path, c.path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	for _, p := range n.pairs {
		if leads(p.Value) {
			return p.Value
		}
	}
	for _, c := range n.items {
		if leads(c) {
			return c
		}
	}
	return nil
}

// under is the path of a key below path. Keys are shown because a fault needs
// them, but something too long or too odd for a name may be a secret that lost
// its own key.
func under(path, key string) string {
	if !isName(key, 64, "_-./ ") {
		key = "(key)"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// element is the path of an element of a list.
func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// isName reports whether s has at most limit bytes, all of them letters,
// digits or in extra.
func isName(s string, limit int, extra string) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
