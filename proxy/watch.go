package proxy

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

// watched is one header that the strict check looks at.
type watched struct {
	name string // lower case
	role headerRole
	once bool
	bit  uint64
}

// watchList finds headers by name, without allocation. It is immutable once
// it is built.
type watchList struct{ byLength [64][]watched }

// newWatchList returns a list of what every request is checked for, and of the
// given identity headers. Names that are longer than 63 bytes, and identity
// headers past the 50th, are left out: they are still keyed, the first value
// only, and only what is keyed is forwarded.
func newWatchList(identity []string) watchList {
	var l watchList
	next := uint64(1)
	add := func(name string, role headerRole, once bool) {
		if w := l.find([]byte(name)); w != nil || len(name) >= len(l.byLength) || next == 0 {
			return
		}
		l.byLength[len(name)] = append(l.byLength[len(name)], watched{name: lower(name), role: role, once: once, bit: next})
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
	for _, name := range []string{"content-type", "cookie", "range", "if-none-match", "prefer"} {
		add(name, roleSingle, true)
	}
	return l
}

// find returns what is watched under name, also when underscores stand for its
// hyphens; nil if nothing is.
func (l *watchList) find(name []byte) *watched {
	if len(name) >= len(l.byLength) {
		return nil
	}
	list := l.byLength[len(name)]
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
		if lowerByte(c) != want[i] {
			return false
		}
	}
	return true
}

// foldEqual compares b with a lower-case ASCII string, ignoring case.
func foldEqual(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if lowerByte(c) != want[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}
