package cache

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fullEntry has a value in every member that is stored.
func fullEntry() *Entry {
	at := time.Date(2025, 10, 22, 10, 30, 0, 123456789, time.UTC)
	return &Entry{
		Key: ID{1, 2}, Partition: ID{3, 4}, Upstream: "orq", Provider: "orq", Revision: "r7", Ref: "orq/my-agent/01K6", Values: []string{"my-agent", "01K6", ""},
		TaskID: "01K6", Status: "completed", NativeStatus: "COMPLETED", Terminal: true, Frozen: true, Settling: true, SettleStep: 2, Polls: 9,
		Stored: true, Missing: true, Gone: true, Submitted: true, Generation: 3, Version: 1 << 60,
		Document: []byte(`{"object":"task"}`), Digest: [16]byte{5, 6}, ETag: `W/"a"`, NativeETag: `W/"b"`,
		Native: []byte(strings.Repeat(`{"n":1}`, 200)), NativeType: "application/json", NativeCode: 200,
		NativeHeader: []Header{{"Location", "/results/1"}, {"Retry-After", "2"}},
		History:      []Change{{Status: "queued", At: at, Poll: 3}, {Status: "completed", NativeStatus: "COMPLETED", At: at.Add(time.Minute)}},
		CreatedAt:    at, CompletedAt: at.Add(1), UpdatedAt: at.Add(2), FirstSeen: at.Add(3), ErrorCode: "e", Model: "m", ObservedAt: at.Add(4), FreshUntil: at.Add(5),
	}
}

// TestEveryMemberIsStored fails when Entry gets a member that fullEntry, and so
// perhaps the codec, does not know.
func TestEveryMemberIsStored(t *testing.T) {
	memory := map[string]bool{"PersistedAt": true, "LookedAt": true, "Alone": true, "Unconfirmed": true, "Asked": true, "Judged": true}
	v := reflect.ValueOf(*fullEntry())
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != memory[name] {
			t.Errorf("Entry.%s: decide whether it is stored", name)
		}
	}
}

func TestSealEntry(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, e := range map[string]*Entry{
		"full":          fullEntry(),
		"bare":          {Key: ID{1}, Partition: ID{2}, Stored: true},
		"extreme times": {Key: ID{1}, Stored: true, CreatedAt: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), CompletedAt: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
	} {
		got, err := s.OpenEntry(&e.Partition, &e.Key, s.SealEntry(e), now)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: OpenEntry = %+v, %v, want %+v", name, got, err, e)
		}
	}
	e := fullEntry()
	sealed := s.SealEntry(e)
	if len(sealed) > len(e.Native) {
		t.Errorf("%d bytes of native body are sealed in %d: not compressed", len(e.Native), len(sealed))
	}
	for what, wrong := range map[string][]byte{"nothing": nil, "garbage": []byte("garbage"), "half": sealed[:len(sealed)/2]} {
		if _, err := s.OpenEntry(&e.Partition, &e.Key, wrong, now); err != ErrDamaged {
			t.Errorf("OpenEntry of %s: %v, want ErrDamaged", what, err)
		}
	}
	if _, err := s.OpenEntry(&e.Key, &e.Key, sealed, now); err != ErrDamaged {
		t.Errorf("OpenEntry in another partition: %v, want ErrDamaged", err)
	}
	if _, err := s.OpenPartition(&e.Partition, sealed, now); err != ErrDamaged {
		t.Errorf("OpenPartition of an entry: %v, want ErrDamaged", err)
	}
	if !errors.Is(ErrDamaged, ErrNotFound) {
		t.Error("ErrDamaged is not an ErrNotFound")
	}
}

func TestOpenEntryClampsToNow(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	e := fullEntry()
	now := e.ObservedAt.Add(-time.Hour)
	got, err := s.OpenEntry(&e.Partition, &e.Key, s.SealEntry(e), now)
	if err != nil || !got.ObservedAt.Equal(now) || !got.FreshUntil.Equal(now) || !got.UpdatedAt.Equal(e.UpdatedAt) {
		t.Errorf("OpenEntry an hour earlier = %+v, %v", got, err)
	}
}

// TestOpenEntryFresh: only what has ended is fresh when it comes out of a store,
// and what the upstream asked to be left alone about.
func TestOpenEntryFresh(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	for name, tt := range map[string]struct {
		terminal, settling bool
		asked, lasts       time.Duration // of the upstream; after which it is fresh for so long
	}{
		"running":                {},
		"running, asked":         {asked: 90 * time.Second, lasts: 90 * time.Second},
		"running, doubted":       {asked: 2 * time.Hour, lasts: time.Hour},
		"settling":               {terminal: true, settling: true},
		"settling, asked":        {terminal: true, settling: true, asked: 90 * time.Second},
		"ended, for an hour":     {terminal: true, lasts: time.Hour},
		"ended, asked as others": {terminal: true, asked: 90 * time.Second, lasts: time.Hour},
	} {
		e := fullEntry()
		e.Terminal, e.Settling, e.Frozen, e.Asked = tt.terminal, tt.settling, false, tt.asked
		e.FreshUntil = e.ObservedAt.Add(time.Hour)
		now := e.ObservedAt.Add(time.Second)
		got, err := s.OpenEntry(&e.Partition, &e.Key, s.SealEntry(e), now)
		if err != nil {
			t.Fatal(err)
		}
		if end := e.ObservedAt.Add(tt.lasts); got.Fresh(now) != now.Before(end) || now.Before(end) && !got.FreshUntil.Equal(end) {
			t.Errorf("%s: fresh until %v after the answer, want %v", name, got.FreshUntil.Sub(e.ObservedAt), tt.lasts)
		}
		if !tt.terminal && got.Asked != tt.lasts {
			t.Errorf("%s: the upstream asked for %v, want %v", name, got.Asked, tt.lasts)
		}
	}
}

func TestSealPartition(t *testing.T) {
	s := testSecret(t, "a secret of enough bytes")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, want := range []PartitionState{{}, {Upstream: "orq", LastSuccess: now.Add(-1), Suspended: true}, {Upstream: "x", Credential: [16]byte{1, 2}}} {
		sealed := s.SealPartition(&ID{1}, want)
		if got, err := s.OpenPartition(&ID{1}, sealed, now); err != nil || got != want {
			t.Errorf("OpenPartition = %+v, %v, want %+v", got, err, want)
		}
		if _, err := s.OpenPartition(&ID{2}, sealed, now); err != ErrDamaged {
			t.Errorf("OpenPartition of another: %v, want ErrDamaged", err)
		}
	}
	if got, err := s.OpenPartition(&ID{1}, s.SealPartition(&ID{1}, PartitionState{LastSuccess: now.Add(time.Hour)}), now); err != nil || !got.LastSuccess.Equal(now) {
		t.Errorf("a success in the future: %+v, %v, want it now", got, err)
	}
}

// FuzzDecodeEntry decodes anything without a panic, and whatever it accepts
// survives another round.
func FuzzDecodeEntry(f *testing.F) {
	full := appendEntry(nil, fullEntry(), time.Now())
	f.Add(full)
	f.Add(full[:len(full)/2])
	f.Add(appendEntry(nil, &Entry{}, time.Time{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b, true)
		if err != nil {
			return
		}
		again, err := decodeEntry(appendEntry(nil, e, e.FreshUntil), true)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("decodeEntry(%q) = %+v, and after another round %+v, %v", b, e, again, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add((&scratch{plain: appendEntry([]byte{numberedPlain}, fullEntry(), time.Now())}).pack(minZstd))
	f.Add(appendEntry([]byte{numberedPlain}, &Entry{}, time.Time{}))
	f.Add([]byte{packedZstd})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, _, err := unpack(b)
		if err != nil {
			return
		}
		got, _, err := unpack((&scratch{plain: append([]byte{numberedPlain}, plain...)}).pack(minZstd))
		if err != nil || string(got) != string(plain) {
			t.Errorf("unpack(%q) = %q, and after another round %q, %v", b, plain, got, err)
		}
	})
}

func BenchmarkSealEntry(b *testing.B) {
	s := testSecret(b, "a secret of enough bytes")
	e := fullEntry()
	b.ReportAllocs()
	for b.Loop() {
		s.SealEntry(e)
	}
}

func BenchmarkOpenEntry(b *testing.B) {
	s := testSecret(b, "a secret of enough bytes")
	e := fullEntry()
	sealed, now := s.SealEntry(e), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.OpenEntry(&e.Partition, &e.Key, sealed, now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"abc", "abc"}, {"abcd", "abc"}, {"äöü", "äöü"}, {"äöüß", "äöü"}, {"a\xffbc", "a\xffb"},
	} {
		if got := clip(c.text, 3); got != c.want {
			t.Errorf("clip(%q, 3) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestGivesWayTo(t *testing.T) {
	for _, c := range []struct {
		name        string
		stands      Entry
		next        Entry
		wantReplace bool
	}{
		{"the same", Entry{Generation: 1, Version: 5}, Entry{Generation: 1, Version: 5}, true},
		{"asked later", Entry{Generation: 1, Version: 5}, Entry{Generation: 1, Version: 6}, true},
		{"asked earlier", Entry{Generation: 1, Version: 5}, Entry{Generation: 1, Version: 4}, false},
		{"of an older generation", Entry{Generation: 1, Version: 5}, Entry{Version: 9}, false},
		{"of a newer generation", Entry{Generation: 1, Version: 5}, Entry{Generation: 2}, true},
		{"frozen, asked later", Entry{Generation: 1, Version: 5, Frozen: true}, Entry{Generation: 1, Version: 6, Frozen: true}, false},
		{"frozen, reopened", Entry{Generation: 1, Version: 5, Frozen: true}, Entry{Generation: 2}, true},
	} {
		if got := c.stands.GivesWayTo(&c.next); got != c.wantReplace {
			t.Errorf("%s: GivesWayTo = %v, want %v", c.name, got, c.wantReplace)
		}
	}
}
