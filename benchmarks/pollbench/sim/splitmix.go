// Package sim simulates when polls notice the end of tasks, for schedules that
// learn and for some that do not, against the best that any schedule can do.
// Nothing here waits: a second is a number.
package sim

import "math"

// SplitMix64 is the generator of G. L. Steele, D. Lea and C. H. Flood ("Fast
// splittable pseudorandom number generators", OOPSLA 2014), chosen because it
// is the same few lines in every language. Its value is the state.
type SplitMix64 uint64

// Uint64 returns the next 64 bits.
func (s *SplitMix64) Uint64() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Float64 returns the next number, inside (0, 1).
func (s *SplitMix64) Float64() float64 {
	return (float64(s.Uint64()>>11) + 0.5) / (1 << 53)
}

// Normal returns the next standard normal number, from two uniform ones.
func (s *SplitMix64) Normal() float64 {
	u1, u2 := s.Float64(), s.Float64()
	return math.Sqrt(-2*math.Log(u1)) * math.Cos(2*math.Pi*u2)
}
