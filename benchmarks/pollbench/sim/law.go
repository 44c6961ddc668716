package sim

import "math"

// Law is a distribution of durations in seconds.
type Law struct {
	Name string
	Draw func(*SplitMix64) float64
	CDF  func(t float64) float64
}

// Laws are the reference distributions, in the order of their seeds: language
// model agents, a heavy tail, quick failures among slow successes, a video
// renderer without and with a queue, and batches of hours.
var Laws = [...]Law{
	named("agent", logNormal(20, 1)),
	named("heavy", mixture(0.8, logNormal(10, 0.6), pareto(20, 1.1, 6*3600))),
	named("bimodal", mixture(0.3, logNormal(1.5, 0.3), logNormal(90, 0.4))),
	named("video", normalAbove(60, 10, 5)),
	named("videoq", shifted(75, logNormal(30, 0.9))),
	named("batch", logNormal(3600, 0.8)),
}

func named(name string, l Law) Law {
	l.Name = name
	return l
}

// Durations draws n durations from a seed.
func (l Law) Durations(seed uint64, n int) []float64 {
	g := SplitMix64(seed)
	d := make([]float64, n)
	for i := range d {
		d[i] = l.Draw(&g)
	}
	return d
}

func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

func logNormal(median, sigma float64) Law {
	return Law{
		Draw: func(g *SplitMix64) float64 { return median * math.Exp(sigma*g.Normal()) },
		CDF:  func(t float64) float64 { return normalCDF(math.Log(t/median) / sigma) },
	}
}

// pareto starts at least and is cut at most.
func pareto(least, shape, most float64) Law {
	whole := 1 - math.Pow(least/most, shape)
	return Law{
		Draw: func(g *SplitMix64) float64 { return least * math.Pow(1-g.Float64()*whole, -1/shape) },
		CDF: func(t float64) float64 {
			return min(1, max(0, (1-math.Pow(least/max(t, least), shape))/whole))
		},
	}
}

// mixture is a with probability p, and b otherwise.
func mixture(p float64, a, b Law) Law {
	return Law{
		Draw: func(g *SplitMix64) float64 {
			if g.Float64() < p {
				return a.Draw(g)
			}
			return b.Draw(g)
		},
		CDF: func(t float64) float64 { return p*a.CDF(t) + (1-p)*b.CDF(t) },
	}
}

// normalAbove is normal, drawn again until it exceeds least.
func normalAbove(mean, deviation, least float64) Law {
	below := normalCDF((least - mean) / deviation)
	return Law{
		Draw: func(g *SplitMix64) float64 {
			for {
				if t := mean + deviation*g.Normal(); t > least {
					return t
				}
			}
		},
		CDF: func(t float64) float64 {
			return max(0, (normalCDF((t-mean)/deviation)-below)/(1-below))
		},
	}
}

func shifted(by float64, l Law) Law {
	return Law{
		Draw: func(g *SplitMix64) float64 { return by + l.Draw(g) },
		CDF:  func(t float64) float64 { return l.CDF(max(0, t-by)) },
	}
}
