package normalize

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// scope is what a condition sees. The names and meanings are those that
// provider files use.
type scope struct {
	Word     string         `expr:"word"`     // native word without the prefix
	Status   string         `expr:"status"`   // canonical status so far
	Terminal bool           `expr:"terminal"` // follows from status
	HTTP     int            `expr:"http"`
	JSON     map[string]any `expr:"json"` // whole body; only set for conditions that name it

	Kind   func(path string) string  `expr:"kind"`   // absent, null, true, false, number, string, array or object
	Text   func(path string) string  `expr:"text"`   // of a string; "" for anything else
	Number func(path string) float64 `expr:"number"` // of a number; 0 for anything else
	Count  func(path string) int     `expr:"count"`  // of an array's elements; 0 for anything else

	doc *document // what the functions look into
	vm  vm.VM     // what conditions run on
}

// scopes keeps scopes with their functions, which are made once for each.
var scopes = sync.Pool{New: func() any {
	s := &scope{}
	s.Kind = func(path string) string { return s.doc.kind(path) }
	s.Text = func(path string) string { return s.doc.textAt(path) }
	s.Number = func(path string) float64 { return s.doc.number(path) }
	s.Count = func(path string) int { return s.doc.count(path) }
	return s
}}

// newScope returns a scope over d. Whoever has it releases it.
func newScope(d *document, http int) *scope {
	s := scopes.Get().(*scope)
	s.doc, s.HTTP = d, http
	s.set("", "")
	return s
}

func (s *scope) release() {
	s.doc, s.JSON = nil, nil
	clear(s.vm.Stack[:cap(s.vm.Stack)])
	scopes.Put(s)
}

func (s *scope) set(word string, status Status) {
	s.Word, s.Status, s.Terminal = word, string(status), status.Terminal()
}

func (d *document) kind(path string) string {
	raw, _ := d.lookup(path)
	return kindOf(raw)
}

func (d *document) textAt(path string) string {
	if raw, _ := d.lookup(path); kindOf(raw) == kindString {
		return decodeString(raw)
	}
	return ""
}

func (d *document) number(path string) float64 {
	if raw, _ := d.lookup(path); kindOf(raw) == kindNumber {
		return toFloat(raw)
	}
	return 0
}

func (d *document) count(path string) int {
	n := 0
	if raw, _ := d.lookup(path); kindOf(raw) == kindArray {
		eachElement(raw, func(string) { n++ })
	}
	return n
}

// Condition is a compiled, type-checked expr expression. It is immutable and
// safe for concurrent use.
type Condition struct {
	program *vm.Program
	paths   []PathSpec
	codes   []codeTest // what http is compared with
	words   []string   // that word is compared with
	state   bool       // names word, status or terminal
	json    bool       // names json, which costs a decoding of the whole body
}

// codeTest is a comparison of http with constants, as "404" or ">= 400"; one
// is how to speak of a code that passes.
type codeTest struct {
	text, one string
	holds     func(code int) bool
}

const suchCode = "such a code"

// ReadsStatus reports whether the condition looks at the task's status, which
// answers that are no documents do not have.
func (c *Condition) ReadsStatus() bool { return c.state }

// CompileCondition compiles an expr expression over word, status, terminal,
// http, json, kind(path), text(path), number(path) and count(path). It must be
// a bool; the paths must be literals, which are checked like any other; the
// clock is out of reach.
func CompileCondition(spec ExprSpec) (*Condition, *Fault) {
	visitor := conditionVisitor{at: spec.Position}
	program, err := expr.Compile(spec.Code, expr.Env(&scope{}), expr.AsBool(), expr.Patch(&visitor), expr.DisableBuiltin("now"))
	if err == nil {
		err = visitor.err()
	}
	if err != nil {
		return nil, &Fault{spec.Position, "condition: " + exprMessage(err)}
	}
	return &Condition{program, visitor.paths, visitor.codes, visitor.words, visitor.state, visitor.json}, nil
}

// exprMessage leaves out the drawing of the code that expr puts in its errors.
func exprMessage(err error) string {
	if at, ok := errors.AsType[*file.Error](err); ok {
		return fmt.Sprintf("%s (column %d)", at.Message, at.Column+1)
	}
	return err.Error()
}

// Holds evaluates the condition against an answer, its native word without
// prefix and the status so far. A body that is no JSON, such as the page of a
// gateway, has no values. An error (a member of something that is not
// there, say) comes with false and must never be taken for an end of the task.
func (c *Condition) Holds(n Native, word string, status Status) (bool, error) {
	d := &document{}
	if CheckValue(n.Body) == nil {
		d = n.document()
	}
	s := newScope(d, n.HTTPStatus)
	defer s.release()
	s.set(word, status)
	return c.holds(s, d)
}

func (c *Condition) holds(s *scope, d *document) (bool, error) {
	if c.json {
		s.JSON = d.json()
	}
	result, err := s.vm.Run(c.program, s)
	if err != nil {
		return false, fmt.Errorf("condition: %s", exprMessage(err))
	}
	if holds, ok := result.(bool); ok {
		return holds, nil
	}
	return false, errors.New("condition: not a bool")
}

// conditionVisitor collects the path literals of a condition.
type conditionVisitor struct {
	at         Position
	paths      []PathSpec
	seen       map[ast.Node]bool // the tree is walked more than once
	codes      []codeTest
	words      []string
	state      bool
	json       bool
	free       int  // mentions of the functions less their calls with a literal
	whole      bool // mentions $env, through which the functions have other names
	pathFaults []error
	never      []error // comparisons that never hold
}

// Visit implements ast.Visitor.
func (v *conditionVisitor) Visit(node *ast.Node) {
	if v.seen[*node] {
		return
	}
	if v.seen == nil {
		v.seen = map[ast.Node]bool{}
	}
	v.seen[*node] = true
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		v.json = v.json || n.Value == "json"
		v.whole = v.whole || n.Value == "$env"
		v.state = v.state || n.Value == "word" || n.Value == "status" || n.Value == "terminal"
		if takesPath(n) {
			v.free++
		}
	case *ast.BinaryNode:
		v.comparison(n)
	case *ast.CallNode:
		if !takesPath(n.Callee) || len(n.Arguments) != 1 {
			return
		}
		literal, ok := n.Arguments[0].(*ast.StringNode)
		if !ok {
			return
		}
		v.free--
		v.paths = append(v.paths, PathSpec{literal.Value, v.at})
		if err := CheckPath(literal.Value); err != nil {
			v.pathFaults = append(v.pathFaults, fmt.Errorf("path %q: %w", literal.Value, err))
		}
	}
}

// comparison finds constants that what they are compared with never is.
func (v *conditionVisitor) comparison(n *ast.BinaryNode) {
	subject, constants := n.Left, []ast.Node{n.Right}
	switch n.Operator {
	case "==", "!=":
		if _, flipped := constantOf(n.Left); flipped {
			subject, constants = n.Right, []ast.Node{n.Left}
		}
	case "in":
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok {
			v.codeRange(n)
			return
		}
		constants = list.Nodes
	case "<", "<=", ">", ">=":
		v.codeOrder(n)
		return
	default:
		return
	}
	for _, node := range constants {
		constant, ok := constantOf(node)
		if !ok {
			continue
		}
		switch text, isText := constant.(string); {
		case isFunction(subject, "kind") && isText && !slices.Contains(kindNames, text):
			v.never = append(v.never, fmt.Errorf("kind is never %q, it is one of %s", text, strings.Join(kindNames, ", ")))
		case isNamed(subject, "status") && isText && !Status(text).Valid():
			v.never = append(v.never, fmt.Errorf("status is never %q, it is one of %s; the native word is called word", text, statusList()))
		case isNamed(subject, "http") && n.Operator != "!=":
			if code, isInt := constant.(int); isInt {
				v.codes = append(v.codes, codeTest{strconv.Itoa(code), strconv.Itoa(code), func(c int) bool { return c == code }})
			}
		case isNamed(subject, "word") && isText:
			v.words = append(v.words, text)
		}
	}
}

// codeRange notes http in 400..499.
func (v *conditionVisitor) codeRange(n *ast.BinaryNode) {
	span, ok := n.Right.(*ast.BinaryNode)
	if !ok || span.Operator != ".." || !isNamed(n.Left, "http") {
		return
	}
	from, isFrom := span.Left.(*ast.IntegerNode)
	to, isTo := span.Right.(*ast.IntegerNode)
	if isFrom && isTo {
		v.codes = append(v.codes, codeTest{fmt.Sprintf("%d..%d", from.Value, to.Value), suchCode, func(c int) bool { return from.Value <= c && c <= to.Value }})
	}
}

// codeOrder notes http >= 400 and the like.
func (v *conditionVisitor) codeOrder(n *ast.BinaryNode) {
	limit, ok := n.Right.(*ast.IntegerNode)
	if !ok || !isNamed(n.Left, "http") {
		return
	}
	holds := map[string]func(int) bool{
		"<": func(c int) bool { return c < limit.Value }, "<=": func(c int) bool { return c <= limit.Value },
		">": func(c int) bool { return c > limit.Value }, ">=": func(c int) bool { return c >= limit.Value },
	}[n.Operator]
	v.codes = append(v.codes, codeTest{fmt.Sprintf("%s %d", n.Operator, limit.Value), suchCode, holds})
}

// constantOf is the text or whole number that a node stands for.
func constantOf(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	}
	return nil, false
}

func isNamed(n ast.Node, name string) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == name
}

func isFunction(n ast.Node, name string) bool {
	call, ok := n.(*ast.CallNode)
	return ok && isNamed(call.Callee, name)
}

func takesPath(n ast.Node) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && (id.Value == "kind" || id.Value == "text" || id.Value == "number" || id.Value == "count")
}

func (v *conditionVisitor) err() error {
	switch {
	case v.whole:
		return errors.New("$env cannot be used")
	case v.free != 0:
		return errors.New("kind, text, number and count take one path, as a literal")
	case len(v.pathFaults) > 0:
		return v.pathFaults[0]
	case len(v.never) > 0:
		return v.never[0]
	}
	return nil
}
