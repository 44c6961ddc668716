package adaptive

import "math"

// residual returns the hazard of a task that was found running at a random
// moment of its life, by the time since: S(u) / integral of S from u on. Taking
// it for a task just started would cost up to 2.7 times the polls.
//
// With m the mean time left at an age, the survival of the rest is S m, and m
// follows from the last bin downwards without any division by a survival that
// may have underflowed.
func (s *state) residual() (rest [bins]float64) {
	last := bins - 1
	left := 1 / s.hazard[last]
	rest[last] = s.hazard[last]
	for b := last - 1; b >= 0; b-- {
		x := s.hazard[b] * width(b)
		fails := -math.Expm1(-x)
		before := fails/s.hazard[b] + (1-fails)*left
		rest[b] = max((x+math.Log(before/left))/width(b), math.SmallestNonzeroFloat64)
		left = before
	}
	return rest
}

// hazardOf returns the hazard by which j is judged, using scratch if it is not the
// learned one.
func (s *state) hazardOf(j Job, scratch *[bins]float64) *[bins]float64 {
	if !j.UnknownStart {
		return &s.hazard
	}
	*scratch = s.residual()
	return scratch
}
