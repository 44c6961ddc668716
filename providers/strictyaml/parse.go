package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Parse reads one document; file only names it in faults. With env, ${NAME} in
// string values (not in keys) is replaced by what env says, $${ stands for ${,
// and a name that env does not know is a fault; with a nil env text stays as
// it is.
//
// The node is nil when the text cannot be read at all. Otherwise it holds what
// could be, also beside faults, so that decoding it finds the rest of them.
// An empty file is a Null.
func Parse(file string, data []byte, env func(name string) (string, bool)) (*Node, Faults) {
	p := &parse{file: file, env: env}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	text, ok := p.text(data)
	if !ok {
		return nil, p.faults
	}
	doc, ok := p.document(text)
	if !ok {
		return nil, p.faults
	}
	root := p.node(doc, "", 1, 1)
	p.faults.Sort()
	return root, p.faults
}

// emptyLines is more of them than anybody writes. The lexer looks at those in
// a block scalar again and again: 64 KiB of them take it a minute.
var emptyLines = bytes.Repeat([]byte("\n"), 1000)

// parse is the state of one call of Parse.
type parse struct {
	file   string
	env    func(string) (string, bool)
	faults Faults
}

func (p *parse) fault(line, column int, message string) {
	p.faults = append(p.faults, Fault{File: p.file, Line: line, Column: column, Message: message})
}

// text checks data before anything parses it, and prepares it for that.
func (p *parse) text(data []byte) (string, bool) {
	if len(data) > MaxSize {
		p.fault(0, 0, "is larger than 1 MiB")
		return "", false
	}
	if empty := bytes.Index(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), emptyLines); empty >= 0 {
		p.fault(1+bytes.Count(data[:empty], []byte("\n")), 1, "too many empty lines in a row")
		return "", false
	}
	line, column := 1, 1
	for i, r := range string(data) {
		switch {
		case r == utf8.RuneError && !bytes.HasPrefix(data[i:], []byte("\uFFFD")):
			p.fault(line, column, "is not valid UTF-8")
			return "", false
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			p.fault(line, column, "control character")
			return "", false
		case p.env != nil && (r == nameStart || r == nameEnd):
			p.fault(line, column, "private-use character")
			return "", false
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	if json.Valid(data) {
		// YAML forbids tabs as indentation, JSON does not. In valid JSON a tab
		// can only be white space, so a space is as good and as wide.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	if p.env != nil {
		return guardNames(string(data)), true
	}
	return string(data), true
}

// document parses text, which passed text, into its one document; nil if it
// holds nothing.
func (p *parse) document(text string) (body ast.Node, ok bool) {
	defer func() {
		// The parser has panicked on odd input before; that is a bad file, not
		// a reason to end the process.
		if recover() != nil {
			p.fault(0, 0, "cannot be read as YAML")
			body, ok = nil, false
		}
	}()
	tokens := lexer.Tokenize(text)
	if p.refuse(tokens); len(p.faults) > 0 {
		return nil, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p.syntax(err)
		return nil, false
	}
	if len(file.Docs) == 0 {
		return nil, true
	}
	if len(file.Docs) > 1 {
		line := 0
		if start := file.Docs[1].Start; start != nil {
			line = start.Position.Line
		}
		p.fault(line, 1, "holds more than one document")
		return nil, false
	}
	return file.Docs[0].Body, true
}

// syntax reports the parser's error in words that cannot hold text of the file.
func (p *parse) syntax(err error) {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &located) {
		p.fault(0, 0, "cannot be read as YAML")
		return
	}
	message := located.GetMessage()
	switch {
	case strings.Contains(message, "reserved character"):
		message = "a value that starts with @ or ` needs quotes"
	case strings.Contains(message, "escape character"):
		message = "unknown escape in double quotes"
	case strings.Contains(message, "\t"):
		message = "a tab cannot indent"
	}
	line, column := 0, 0
	if tk := located.GetToken(); tk != nil && tk.Position != nil {
		line, column = tk.Position.Line, tk.Position.Column
	}
	p.fault(line, max(column, min(line, 1)), message)
}

// refused names the parts of YAML that this package leaves out.
var refused = map[token.Type]string{
	token.AnchorType:     "anchors are not supported",
	token.AliasType:      "aliases are not supported",
	token.MergeKeyType:   "merge keys are not supported",
	token.TagType:        "tags are not supported",
	token.DirectiveType:  "a value that starts with % needs quotes; directives are not supported",
	token.MappingKeyType: "complex keys are not supported",
}

// refuse reports what is not supported, and nesting that the parser must not
// see.
func (p *parse) refuse(tokens token.Tokens) {
	var columns []int // of the block collections that are open
	flow := 0
	for _, tk := range tokens {
		if message, bad := refused[tk.Type]; bad {
			p.fault(tk.Position.Line, tk.Position.Column, message)
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingValueType:
			if flow > 0 {
				// Not opened by indentation, and nothing to count.
				break
			}
			column := tk.Position.Column
			if tk.Type == token.MappingValueType && tk.Prev != nil {
				column = tk.Prev.Position.Column
			}
			for len(columns) > 0 && columns[len(columns)-1] >= column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, column)
		}
		if flow+len(columns) > maxDepth {
			p.fault(tk.Position.Line, tk.Position.Column, "nested too deeply")
			return
		}
	}
}
