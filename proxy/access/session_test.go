package access

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"pollux/cache"
	"pollux/proxy/wire"
)

// rulesWith are rules for the given clients and no upstream.
func rulesWith(t *testing.T, clients ...ClientConfig) *Rules {
	t.Helper()
	secret, err := cache.NewSecret(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	st, err := NewRules(clients, nil, &wire.Strictness{}, nil, secret)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestSessionTime: a session holds for its time and no longer.
func TestSessionTime(t *testing.T) {
	st := rulesWith(t, ClientConfig{Name: "all", Key: "key-all"})
	now := time.Now()
	token := []byte(st.NewSession(&st.clients[0], now))
	if c := st.openSession(token, now.Add(SessionTime-time.Minute)); c == nil || c.Name != "all" {
		t.Errorf("shortly before its end: got %v", c)
	}
	if c := st.openSession(token, now.Add(SessionTime+time.Second)); c != nil {
		t.Errorf("after its end: got %s", c.Name)
	}
}

// TestForgedSession: no change to a token leaves it valid.
func TestForgedSession(t *testing.T) {
	st := rulesWith(t, ClientConfig{Name: "reader", Key: "key-reader"}, ClientConfig{Name: "all", Key: "key-all"})
	token := st.NewSession(&st.clients[0], time.Now())
	rapid.Check(t, func(r *rapid.T) {
		forged := []byte(token)
		for range rapid.IntRange(1, 4).Draw(r, "changes") {
			forged[rapid.IntRange(0, len(forged)-1).Draw(r, "at")] = rapid.Byte().Draw(r, "to")
		}
		forged = append(forged, rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(r, "more")...)
		if c := st.openSession(forged, time.Now()); c != nil && (c.Name != "reader" || len(forged) != len(token)) {
			r.Fatalf("%q opens a session of %s", forged, c.Name)
		}
		cut := token[:rapid.IntRange(0, len(token)-1).Draw(r, "cut")]
		if c := st.openSession([]byte(cut), time.Now()); c != nil {
			r.Fatalf("%q opens a session of %s", cut, c.Name)
		}
	})
}
