package wire

import "math/bits"

// headerRole is why the strict check looks at a header.
type headerRole uint8

const (
	roleIdentity headerRole = iota + 1 // names the caller
	roleHost
	roleOrigin
	roleLength
	roleCoding
	roleExpect
	roleConnection
	roleSingle // nothing but that it may come once
	roleFraming
)

// headerRule is what the strict check holds one header to.
type headerRule struct {
	name string // lower case
	role headerRole
	once bool   // it may be sent once only
	bit  uint64 // of block.seen
}

// headerRules finds rules by a header's name, without allocation. It is
// immutable once it is built.
type headerRules struct{ byLength [64][]headerRule }

// newHeaderRules returns the rules that hold for every request, and those for
// the given identity headers. Names that are longer than 63 bytes, and identity
// headers past the 50th, are left out: they are still keyed, the first value
// only, and only what is keyed is forwarded.
func newHeaderRules(identity []string) headerRules {
	var r headerRules
	next := uint64(1)
	add := func(name string, role headerRole, once bool) {
		if known := r.find([]byte(name)); known != nil || len(name) >= len(r.byLength) || next == 0 {
			return
		}
		r.byLength[len(name)] = append(r.byLength[len(name)], headerRule{name: lower(name), role: role, once: once, bit: next})
		next = bits.RotateLeft64(next, 1)
		if next == 1 {
			next = 0
		}
	}
	add("host", roleHost, true)
	add("origin", roleOrigin, true)
	add("content-length", roleLength, true)
	add("transfer-encoding", roleCoding, true)
	add("expect", roleExpect, true)
	add("connection", roleConnection, false)
	for _, name := range []string{"te", "trailer", "upgrade", "keep-alive", "proxy-connection"} {
		add(name, roleFraming, false)
	}
	add("authorization", roleIdentity, true)
	add("x-pollux-key", roleIdentity, true)
	for _, name := range identity {
		add(name, roleIdentity, true)
	}
	for _, name := range []string{"content-type", "cookie", "range"} {
		add(name, roleSingle, true)
	}
	return r
}

// find returns the rule for name, also when underscores stand for its hyphens;
// nil if there is none.
func (r *headerRules) find(name []byte) *headerRule {
	if len(name) >= len(r.byLength) {
		return nil
	}
	list := r.byLength[len(name)]
	for i := range list {
		if looksLike(name, list[i].name) {
			return &list[i]
		}
	}
	return nil
}

// looksLike compares name with a lower-case one, taking "_" for "-".
func looksLike(name []byte, want string) bool {
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		if LowerByte(c) != want[i] {
			return false
		}
	}
	return true
}
