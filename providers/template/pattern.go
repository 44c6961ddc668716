package template

import (
	"regexp"
	"regexp/syntax"
)

// Pattern is the rule for a parameter's value: a regular expression that must
// match all of it. It is immutable and safe for concurrent use.
type Pattern struct {
	source string
	class  *class // set when source is one repeated ASCII class, as nearly all are
	re     *regexp.Regexp
}

// class is what a regular expression such as [a-z0-9]{1,16} comes down to. It
// is checked some twenty times faster than by package regexp.
type class struct {
	min, max int // max -1: no limit
	has      [256]bool
}

// NewPattern compiles a provider file's regular expression (RE2 syntax),
// anchored at both ends.
func NewPattern(source string) (*Pattern, error) {
	re, err := regexp.Compile(`\A(?:` + source + `)\z`)
	if err != nil {
		return nil, err
	}
	return &Pattern{source: source, class: newClass(source), re: re}, nil
}

// Match reports whether all of value matches. It does not allocate for the
// usual patterns.
func (p *Pattern) Match(value []byte) bool {
	if c := p.class; c != nil {
		return c.match(value)
	}
	return p.re.Match(value)
}

// String returns the regular expression as the provider file has it, "" where
// it has none.
func (p *Pattern) String() string { return p.source }

func (c *class) match(value []byte) bool {
	if len(value) < c.min || c.max >= 0 && len(value) > c.max {
		return false
	}
	for _, b := range value {
		if !c.has[b] {
			return false
		}
	}
	return true
}

// newClass returns nil when source is anything but one repeated ASCII class.
func newClass(source string) *class {
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil
	}
	c := new(class)
	switch tree.Op {
	case syntax.OpRepeat:
		c.min, c.max = tree.Min, tree.Max
	case syntax.OpPlus:
		c.min, c.max = 1, -1
	case syntax.OpStar:
		c.min, c.max = 0, -1
	default:
		return nil
	}
	set := tree.Sub[0]
	if set.Op != syntax.OpCharClass || set.Flags&syntax.FoldCase != 0 {
		return nil
	}
	for i := 0; i < len(set.Rune); i += 2 {
		lo, hi := set.Rune[i], set.Rune[i+1]
		if hi > 0x7f {
			return nil // bytes are no longer characters
		}
		for r := lo; r <= hi; r++ {
			c.has[r] = true
		}
	}
	return c
}
