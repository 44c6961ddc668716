package adaptive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A kept learner is a tag with the version of the format, four scalars as
// float64, the histogram as float32 (712 bytes), and a checksum of all that,
// in little-endian order.
const (
	stateTag  = "PXA1"
	stateSize = len(stateTag) + 4*8 + 2*bins*4 + crc32.Size
)

// ErrDamaged is returned, wrapped, for bytes that are not a whole learner of
// this version.
var ErrDamaged = errors.New("kept polling statistics are damaged")

// MarshalBinary returns what was learned, in 752 bytes. It never fails.
func (l *Learner) MarshalBinary() ([]byte, error) {
	return l.AppendBinary(make([]byte, 0, stateSize))
}

// AppendBinary is MarshalBinary onto the end of b.
func (l *Learner) AppendBinary(b []byte) ([]byte, error) {
	s := l.copied()
	return s.append(b), nil
}

// copied is what l knows, as it is kept: a configured price is no news, and has
// another unit.
func (l *Learner) copied() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	if l.config.PollPrice > 0 {
		s.price = 0
	}
	return s
}

// append writes s as it is kept.
func (s *state) append(b []byte) []byte {
	start := len(b)
	b = append(b, stateTag...)
	for _, v := range [...]float64{s.prior, s.price, s.surprise, s.variance} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	for _, h := range [...]*[bins]float64{&s.events, &s.exposure} {
		for _, v := range h {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// UnmarshalBinary replaces what l knows by what was kept. The configuration
// stays that of l. It returns ErrDamaged, and leaves l as it is, when the
// bytes are not those of a learner.
func (l *Learner) UnmarshalBinary(data []byte) error {
	s, err := decodeState(data)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.price == 0 || l.config.PollPrice > 0 {
		s.price = l.policy.price
	}
	l.state, l.shared, l.plan.made = s, s, false
	return nil
}

func decodeState(data []byte) (s state, err error) {
	if len(data) != stateSize || string(data[:len(stateTag)]) != stateTag {
		return state{}, fmt.Errorf("%w: not %d bytes starting with %s", ErrDamaged, stateSize, stateTag)
	}
	body, sum := data[:stateSize-crc32.Size], data[stateSize-crc32.Size:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return state{}, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	rest := body[len(stateTag):]
	for _, v := range [...]*float64{&s.prior, &s.price, &s.surprise, &s.variance} {
		*v, rest = math.Float64frombits(binary.LittleEndian.Uint64(rest)), rest[8:]
	}
	for _, h := range [...]*[bins]float64{&s.events, &s.exposure} {
		for b := range h {
			h[b], rest = float64(math.Float32frombits(binary.LittleEndian.Uint32(rest))), rest[4:]
		}
	}
	if !s.sound() {
		return state{}, fmt.Errorf("%w: values out of range", ErrDamaged)
	}
	s.kept = 1
	s.refresh(0, bins-1)
	return s, nil
}

// sound reports whether all values of s are ones that learning can lead to.
func (s *state) sound() bool {
	within := func(v, low, high float64) bool { return v >= low && v <= high } // false for NaN
	ok := within(s.prior, prior, prior+coldPrior) &&
		(s.price == 0 || within(s.price, lowestPrice, highestPrice)) &&
		within(s.surprise, -math.MaxFloat32, math.MaxFloat32) &&
		within(s.variance, 0, math.MaxFloat32)
	for b := range s.events {
		ok = ok && within(s.events[b], 0, math.MaxFloat32) && within(s.exposure[b], 0, math.MaxFloat32)
	}
	return ok
}
