package adaptive

import "math"

// Ages are sorted into bins: the first second, then widths growing by ratio up
// to 2.2e5 s; the last bin is open. A gap depends on the root of the hazard,
// so that finer bins gain nothing: 1.08 and 1.3 give the same figures.
const (
	bins  = 89
	ratio = 1.15
)

var (
	lnRatio = math.Log(ratio)
	edges   = binEdges() // bin b holds ages in [edges[b], edges[b+1])
)

func binEdges() (e [bins + 1]float64) {
	for b := 1; b < bins; b++ {
		e[b] = math.Pow(ratio, float64(b-1))
	}
	e[bins] = math.Inf(1)
	return e
}

// width returns the width of bin b, of the last one as if it were closed.
func width(b int) float64 {
	if b == bins-1 {
		return edges[b] * (ratio - 1)
	}
	return edges[b+1] - edges[b]
}

// binAt returns the bin of an age, which must not be negative.
func binAt(age float64) int {
	if age < 1 {
		return 0
	}
	b := min(1+int(math.Log(age)/lnRatio), bins-1)
	for age >= edges[b+1] { // the logarithm may round across an edge
		b++
	}
	for age < edges[b] {
		b--
	}
	return b
}
