package fleet

import (
	"net/netip"
	"testing"
	"time"
)

func TestLoginLimit(t *testing.T) {
	var l loginLimit
	now := time.Now()
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range 10 {
		if !l.allow(a, now) {
			t.Errorf("attempt %d is refused", i)
		}
	}
	if l.allow(a, now) || !l.allow(b, now) || !l.allow(a, now.Add(time.Minute/10)) {
		t.Errorf("attempts are not counted by address and minute")
	}
	for i := range loginAddresses {
		l.allow(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32), now)
	}
	if n := len(l.from); n > loginAddresses {
		t.Errorf("%d addresses are remembered, want at most %d", n, loginAddresses)
	}
	if l.allow(netip.MustParsePrefix("10.9.9.9/32"), now.Add(time.Hour)); len(l.from) != 1 {
		t.Errorf("%d addresses are remembered an hour later, want 1", len(l.from))
	}
}
