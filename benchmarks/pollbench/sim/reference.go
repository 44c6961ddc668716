package sim

import (
	"math"
	"time"

	"pollux/proxy/poller/adaptive"
)

// ReferenceTarget is the target for which reference holds.
var ReferenceTarget = adaptive.Delay{Absolute: time.Second, Relative: 0.10}

// reference holds the polls per task of the best schedule for each of Laws, at
// least one second between polls, at these mean delays in units of the target.
// It was computed by the same programme as [Optimum], on a finer grid.
var (
	referenceZ = [...]float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3}
	reference  = map[string][len(referenceZ)]float64{
		"agent":   {18.910, 15.223, 12.775, 11.060, 9.702, 8.692, 7.918, 7.265, 6.496, 5.507, 4.320, 3.136},
		"heavy":   {15.049, 11.640, 9.734, 8.432, 7.466, 6.686, 6.067, 5.583, 4.969, 4.247, 3.337, 2.473},
		"bimodal": {10.959, 8.478, 7.132, 6.228, 5.469, 4.948, 4.550, 4.287, 3.896, 3.389, 2.682, 2.161},
		"video":   {4.773, 3.832, 3.233, 2.805, 2.473, 2.232, 2.045, 1.890, 1.708, 1.496, 1.253, 1.069},
		"videoq":  {5.226, 4.289, 3.700, 3.260, 2.940, 2.692, 2.495, 2.340, 2.140, 1.916, 1.632, 1.370},
		"batch":   {20.990, 16.855, 14.266, 12.180, 10.742, 9.711, 8.745, 8.016, 7.160, 6.046, 4.706, 3.391},
	}
)

// Reference returns the polls per task of the best schedule for a reference
// law at [ReferenceTarget] and a mean delay of z targets, interpolated between
// logarithms. It reports false outside the table.
func Reference(law string, z float64) (polls float64, ok bool) {
	row, ok := reference[law]
	last := len(referenceZ) - 1
	if !ok || !(z >= referenceZ[0] && z <= referenceZ[last]) {
		return 0, false
	}
	i := 0
	for i < last-1 && z > referenceZ[i+1] {
		i++
	}
	share := math.Log(z/referenceZ[i]) / math.Log(referenceZ[i+1]/referenceZ[i])
	return row[i] * math.Pow(row[i+1]/row[i], share), true
}
