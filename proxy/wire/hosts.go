package wire

import (
	"bytes"
	"net/netip"
	"strings"
)

// validAuthority accepts host and host:port as they may stand in Host
// (RFC 9110, section 7.2): a name, an IPv4 address or a bracketed IPv6 one.
func validAuthority(b []byte) bool {
	host, port, ok := splitAuthority(b)
	if !ok || len(host) == 0 {
		return false
	}
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	if host[0] == '[' {
		for _, c := range host[1 : len(host)-1] {
			if !IsHex(c) && c != ':' && c != '.' {
				return false
			}
		}
		return len(host) > 2
	}
	for _, c := range host {
		if !tokenBytes[c] || c == '#' || c == '%' || c == '^' || c == '`' || c == '|' {
			return false
		}
	}
	return len(port) <= 5
}

// splitAuthority cuts a port off. A bracketed host keeps its brackets.
func splitAuthority(b []byte) (host, port []byte, ok bool) {
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return nil, nil, false
		}
		host, b = b[:end+1], b[end+1:]
		if len(b) == 0 {
			return host, nil, true
		}
		return host, b[1:], b[0] == ':' && len(b) > 1
	}
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return b, nil, true
	}
	return b[:i], b[i+1:], i+1 < len(b)
}

// hostAllowed reports whether a Host names this machine's loopback or what the
// configuration calls us. Another name means that a page had its own name
// resolve to loopback (DNS rebinding).
func (s *Strictness) hostAllowed(authority []byte) bool {
	host, _, ok := splitAuthority(authority)
	return ok && (loopbackName(host) || s.configuredHost(host))
}

func (s *Strictness) configuredHost(host []byte) bool {
	for _, name := range s.hosts {
		if FoldEqual(host, name) {
			return true
		}
	}
	return false
}

// loopbackName reports whether host is localhost, in 127.0.0.0/8 or ::1. It
// takes the usual spellings only: others are refused, not understood.
func loopbackName(host []byte) bool {
	if FoldEqual(host, "localhost") || string(host) == "[::1]" {
		return true
	}
	if !bytes.HasPrefix(host, []byte("127.")) {
		return false
	}
	dots, digits, value := 0, 0, 0
	for _, c := range host {
		switch {
		case c == '.' && digits > 0:
			dots, digits, value = dots+1, 0, 0
		case '0' <= c && c <= '9' && (value > 0 || digits == 0):
			digits++
			if value = value*10 + int(c-'0'); value > 255 {
				return false
			}
		default:
			return false
		}
	}
	return dots == 3 && digits > 0
}

// ours reports whether the authority of an absolute-form target is one that
// the request could also have named in Host.
func (s *Strictness) ours(authority, host []byte) bool {
	if !validAuthority(authority) {
		return false
	}
	if s.Loopback {
		return s.hostAllowed(authority)
	}
	name, _, _ := splitAuthority(authority)
	return bytes.EqualFold(authority, host) || s.configuredHost(name)
}

// originAllowed reports whether a page of that origin may change state here:
// our own pages, under whichever name of this machine they were opened.
func (s *Strictness) originAllowed(origin, host []byte) bool {
	for _, o := range s.Origins {
		if FoldEqual(origin, o) {
			return true
		}
	}
	authority, ok := CutScheme(origin)
	if !ok || !validAuthority(authority) {
		return false
	}
	if bytes.EqualFold(authority, host) {
		return true
	}
	name, port, _ := splitAuthority(authority)
	_, ourPort, _ := splitAuthority(host)
	return loopbackName(name) && bytes.Equal(port, ourPort)
}

// LoopbackHost reports whether host, without port or brackets, only ever names
// this machine to itself.
func LoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
