// Package address tells addresses of the open internet from all others.
package address

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// special are the networks that no request may lead to whose target others choose: the IANA special-purpose
// address registries for IPv4 and IPv6, with multicast, and what netip's own
// predicates let through. Of IPv6 only 2000::/3 is global at all, so what lies
// outside it (loopback, unique local, link-local, site-local, multicast,
// IPv4-compatible, local NAT64, segment identifiers) needs no line.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour     = netip.MustParsePrefix("2002::/16")    // RFC 3056
	teredo        = netip.MustParsePrefix("2001::/32")    // RFC 4380
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Public reports whether a is an address of the open internet. An address that
// carries an IPv4 address in it is judged by that one: a gateway on the way
// would take the connection there.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if a.Is6() {
		for _, inside := range embedded(a) {
			if !Public(inside) {
				return false
			}
		}
		if nat64.Contains(a) || sixToFour.Contains(a) || teredo.Contains(a) {
			return true // as far as what is inside
		}
		if !globalUnicast.Contains(a) {
			return false
		}
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// embedded returns the IPv4 addresses to which an IPv6 address may lead.
func embedded(a netip.Addr) []netip.Addr {
	b := a.As16()
	v4 := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch {
	case nat64.Contains(a):
		return []netip.Addr{v4(12)}
	case sixToFour.Contains(a):
		return []netip.Addr{v4(2)}
	case teredo.Contains(a):
		client := binary.BigEndian.Uint32(b[12:]) ^ 0xffffffff // RFC 4380, section 4: its bits are inverted
		return []netip.Addr{v4(4), netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, client)))}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214, section 6.1
		return []netip.Addr{v4(12)}
	}
	return nil
}
