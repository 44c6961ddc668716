package strictyaml

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// node turns a parsed value into ours. Line and column are used for a value
// that is not written at all, such as the one of "key:".
func (p *parse) node(from ast.Node, path string, line, column int) *Node {
	n := &Node{file: p.file, path: path, line: line, column: column, kind: Null, plain: true}
	if from == nil {
		return n
	}
	n.locate(from.GetToken())
	switch from := from.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		n.kind, n.text = Bool, from.Token.Value
	case *ast.IntegerNode:
		n.kind, n.text = Int, from.Token.Value
	case *ast.FloatNode:
		n.kind, n.text = Float, from.Token.Value
	case *ast.InfinityNode:
		n.kind, n.text = Float, from.Token.Value
	case *ast.NanNode:
		n.kind, n.text = Float, from.Token.Value
	case *ast.StringNode:
		quoted := from.Token.Type == token.SingleQuoteType || from.Token.Type == token.DoubleQuoteType
		p.string(n, from.Value, !quoted)
	case *ast.LiteralNode:
		p.string(n, from.Value.Value, false)
	case *ast.SequenceNode:
		n.kind = List
		for i, value := range from.Values {
			n.items = append(n.items, p.node(value, element(path, i), n.line, n.column))
		}
	case *ast.MappingNode:
		p.mapping(n, from.Values, from.IsFlowStyle)
	case *ast.MappingValueNode:
		p.mapping(n, []*ast.MappingValueNode{from}, false)
	default:
		p.faults = append(p.faults, n.Fault("this kind of YAML is not supported"))
		n.broken = true
	}
	return n
}

// locate moves n to where tk stands.
func (n *Node) locate(tk *token.Token) {
	if tk != nil && tk.Position != nil && tk.Position.Line > 0 {
		n.line, n.column = tk.Position.Line, max(1, tk.Position.Column)
	}
}

// string fills n with the text of a string.
func (p *parse) string(n *Node, text string, plain bool) {
	n.kind, n.plain = String, plain
	if p.env == nil {
		n.text = text
		return
	}
	e := expand(text, p.env)
	n.text, n.expanded = e.text, e.expanded
	for _, message := range e.faults {
		p.faults = append(p.faults, n.Fault("%s", message))
		n.broken = true
	}
}

// mapping fills n with members, and reports keys given twice.
func (p *parse) mapping(n *Node, members []*ast.MappingValueNode, braces bool) {
	n.kind = Map
	first := make(map[string]*Node, len(members))
	for i, member := range members {
		key := p.key(member.Key, n)
		path := under(n.path, key.text)
		if i == 0 && !braces {
			// The parser calls the colon the start of a block mapping.
			n.line, n.column = key.line, key.column
		}
		if earlier, twice := first[key.text]; twice {
			key.path = path
			p.faults = append(p.faults, key.Fault("given twice, first in line %d", earlier.line))
			continue
		}
		first[key.text] = key
		value := p.node(member.Value, path, key.line, key.column)
		if value.kind == Null {
			value.line, value.column = key.line, key.column
		}
		n.pairs = append(n.pairs, Pair{Key: key.text, KeyNode: key, Value: value})
	}
}

// key is the key of a member of n. Its text is what is written, also for keys
// that look like numbers, so that 404 may be one.
func (p *parse) key(from ast.MapKeyNode, n *Node) *Node {
	key := &Node{kind: String, plain: true, file: p.file, path: n.path, line: n.line, column: n.column}
	key.locate(from.GetToken())
	switch from := from.(type) {
	case *ast.StringNode:
		key.text = unguardNames(from.Value)
	case ast.ScalarNode:
		key.text = from.GetToken().Value
	default:
		p.faults = append(p.faults, key.Fault("complex keys are not supported"))
		key.text = fmt.Sprintf("(line %d, column %d)", key.line, key.column)
	}
	return key
}
