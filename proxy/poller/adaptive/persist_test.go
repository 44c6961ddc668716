package adaptive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestLearnerSurvivesARestart(t *testing.T) {
	l := learned(DefaultConfig(), 200, 40, 0.5, rand.New(rand.NewPCG(1, 2)))
	l.random, l.plan.made = middle, false // a plan may be some answers old
	kept, err := l.MarshalBinary()
	if err != nil || len(kept) != 752 {
		t.Fatalf("%d bytes, %v, want 752", len(kept), err)
	}
	again := New(DefaultConfig(), middle)
	if err := again.UnmarshalBinary(kept); err != nil {
		t.Fatal(err)
	}
	for _, age := range []float64{0, 3, 40, 400} {
		j := Job{News: sec(age)}
		got, want := again.Next(j, Hint{}), l.Next(j, Hint{})
		if math.Abs(float64(got-want)) > 1e-5*float64(want) {
			t.Errorf("gap at age %v is %v after a restart, %v before", age, got, want)
		}
	}
	if kept2, _ := again.MarshalBinary(); !bytes.Equal(kept, kept2) {
		t.Error("what was kept changes when kept again")
	}
}

func TestPricesOfAnotherConfigurationAreNotTaken(t *testing.T) {
	fixed := Config{PollPrice: 3 * time.Second}
	for name, tt := range map[string]struct {
		from, to Config
		want     float64
	}{
		"from fixed":       {fixed, DefaultConfig(), firstPrice},
		"to fixed":         {DefaultConfig(), fixed, 3},
		"to another price": {fixed, Config{PollPrice: time.Second}, 1},
	} {
		from := New(tt.from, middle)
		poll(from, 20)
		kept, _ := from.MarshalBinary()
		to := New(tt.to, middle)
		if err := to.UnmarshalBinary(kept); err != nil || to.Price() != tt.want {
			t.Errorf("%s: price %v, %v, want %v", name, to.Price(), err, tt.want)
		}
	}
}

// sealed puts the right checksum onto bytes that were tampered with.
func sealed(b []byte) []byte {
	body := b[:len(b)-crc32.Size]
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.ChecksumIEEE(body))
}

func TestDamagedLearnerIsRefused(t *testing.T) {
	l := learned(DefaultConfig(), 50, 40, 0.5, rand.New(rand.NewPCG(1, 2)))
	good, _ := l.MarshalBinary()
	with := func(offset int, b ...byte) []byte {
		bad := bytes.Clone(good)
		copy(bad[offset:], b)
		return sealed(bad)
	}
	nan := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	tests := map[string][]byte{
		"empty":            {},
		"cut":              good[:len(good)-1],
		"longer":           append(bytes.Clone(good), 0),
		"another version":  with(0, []byte("PXA2")...),
		"prior no number":  with(4, nan...),
		"price no number":  with(12, nan...),
		"price too high":   with(12, binary.LittleEndian.AppendUint64(nil, math.Float64bits(1e9))...),
		"negative count":   with(36, binary.LittleEndian.AppendUint32(nil, math.Float32bits(-1))...),
		"infinite seconds": with(36+4*bins, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.Inf(1))))...),
	}
	for name, data := range tests {
		before := l.state
		if err := l.UnmarshalBinary(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
		if l.state != before {
			t.Errorf("%s: the learner changed", name)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if err := New(DefaultConfig(), middle).UnmarshalBinary(bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d flipped: error %v, want ErrDamaged", i, err)
		}
	}
}

func FuzzGroupsUnmarshal(f *testing.F) {
	g := NewGroups(DefaultConfig(), 3, middle)
	for _, name := range []string{"a", "b"} {
		g.Observe(name, Job{}, Answer{Age: sec(20), Done: true})
	}
	kept, _ := g.MarshalBinary()
	f.Add(kept)
	f.Add(kept[:900])
	f.Add([]byte("PXG1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := NewGroups(DefaultConfig(), 3, middle)
		if err := g.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v, want ErrDamaged", err)
			}
			return
		}
		if len(g.byName) > 3 {
			t.Errorf("%d groups, want at most 3", len(g.byName))
		}
		gap := g.Next("a", Job{News: sec(5)}, Hint{})
		if gap < time.Second || gap > sec(66) {
			t.Errorf("gap %v after restoring %d bytes", gap, len(data))
		}
	})
}
