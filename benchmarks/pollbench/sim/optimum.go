package sim

import (
	"math"
	"slices"
	"sort"

	"pollux/proxy/poller/adaptive"
)

// Optimum is the best that a schedule can do which knows the law of durations:
// the fewest polls per task for a mean delay.
type Optimum struct {
	price []float64 // of a unit of delay, in polls
	cost  []float64 // least polls per task + price * mean delay
}

// The prices tried. A factor of 1.25 between them misses the optimum by less
// than a fifth of a percent.
const (
	lowestDelayPrice  = 1e-2
	highestDelayPrice = 2e4
	delayPriceRatio   = 1.25
)

// OptimumOf returns the optimum for a law, with at least floor seconds between
// polls and at most a delay; zero allows any.
func OptimumOf(l Law, target adaptive.Delay, floor float64, most adaptive.Delay) *Optimum {
	end := 1.0
	for l.CDF(end) < 1-1e-6 && end < 1e9 {
		end *= 1.05
	}
	g := newGrid(ladder(target, floor, end), func(from, to float64) (p, w, wt float64) {
		p = l.CDF(to) - l.CDF(from)
		t := (from + to) / 2
		w = p / tau(target, t)
		return p, w, w * t
	})
	return g.solve(floor, most)
}

// OptimumFor returns the optimum for durations that are known beforehand as a
// distribution, though not which task has which. With few tasks it is the best
// in hindsight, and out of reach for anybody who has to learn. It takes the
// order of the tasks for chance: where durations drift, learning may beat it.
func OptimumFor(durations []float64, target adaptive.Delay, floor float64, most adaptive.Delay) *Optimum {
	sorted := slices.Sorted(slices.Values(durations))
	ages := ladder(target, floor, sorted[len(sorted)-1])
	if len(sorted) <= 20_000 { // polls pay right at an end; more of them are as good as a continuum
		ages = append(ages, sorted...)
		slices.Sort(ages)
		ages = slices.Compact(ages)
	}
	each, next := 1/float64(len(sorted)), 0
	g := newGrid(ages, func(_, to float64) (p, w, wt float64) {
		for ; next < len(sorted) && sorted[next] <= to; next++ {
			weight := each / tau(target, sorted[next])
			p, w, wt = p+each, w+weight, wt+weight*sorted[next]
		}
		return p, w, wt
	})
	return g.solve(floor, most)
}

// Polls returns the fewest polls per task at a mean delay of z targets. It
// reports false where the grid is too coarse to tell.
func (o *Optimum) Polls(z float64) (polls float64, ok bool) {
	if !(z >= leastZ) {
		return 0, false
	}
	polls = 1 // the one that notices the end
	for i, price := range o.price {
		polls = max(polls, o.cost[i]-price*z)
	}
	return polls, true
}

// The grid is fine enough for gaps of a few steps, and coarse enough for
// minutes of age to take thousands of points, not millions.
const (
	targetStep = 1.0 / 16 // of the target
	ageStep    = 1e-4     // of the age, if that is more
	leastZ     = 0.2      // below, gaps come near to the steps
)

func tau(target adaptive.Delay, t float64) float64 {
	return max(target.Absolute.Seconds(), target.Relative*t)
}

// ladder returns ages from 0 to beyond end at which polls may be made.
func ladder(target adaptive.Delay, floor, end float64) []float64 {
	ages := []float64{0}
	for t := 0.0; t < end+floor; {
		t += max(targetStep*tau(target, t), ageStep*t, 1e-6)
		ages = append(ages, t)
	}
	return ages
}

// grid is a distribution of durations, and the ages at which polls may be made.
type grid struct {
	age     []float64
	running []float64 // share of the tasks that run at an age
	weight  []float64 // integral of w dF up to an age, w being 1/target
	moment  []float64 // integral of t w dF up to an age
}

// newGrid fills a grid from the mass of each cell (from, to], asked in order.
func newGrid(ages []float64, cell func(from, to float64) (p, w, wt float64)) *grid {
	n := len(ages)
	g := &grid{ages, make([]float64, n), make([]float64, n), make([]float64, n)}
	ended := 0.0
	for i := 1; i < n; i++ {
		p, w, wt := cell(ages[i-1], ages[i])
		ended += p
		g.running[i] = max(0, 1-ended)
		g.weight[i] = g.weight[i-1] + w
		g.moment[i] = g.moment[i-1] + wt
	}
	g.running[0], g.running[n-1] = 1, 0
	return g
}

func (g *grid) solve(floor float64, most adaptive.Delay) *Optimum {
	o := &Optimum{}
	costs := make([]float64, len(g.age))
	leastCost, highest := g.leastCost, highestDelayPrice
	if most != (adaptive.Delay{}) {
		highest = 100 // for mean delays of about one target
		leastCost = func(price, floor float64, cost []float64) float64 { return g.leastCostWithin(price, floor, most, cost) }
	}
	for price := lowestDelayPrice; price <= highest; price *= delayPriceRatio {
		o.price = append(o.price, price)
		o.cost = append(o.cost, leastCost(price, floor, costs))
	}
	return o
}

// leastCost returns the least polls + price * delay per task.
//
// With W(i) the cost from a poll at age i on, for tasks that still run there,
//
//	W(i) = running(i) + min over j of
//	       price (age(j) (weight(j) - weight(i)) - (moment(j) - moment(i))) + W(j),
//
// which for fixed j is a line in weight(i): the minimum is the lower hull of
// lines whose slopes grow as j falls.
func (g *grid) leastCost(price, floor float64, cost []float64) float64 {
	var hull []line
	last := len(g.age) - 1
	open := last // the largest j that is not in the hull
	for i := last; i >= 0; i-- {
		for ; open > i && g.age[open] >= g.age[i]+floor; open-- {
			if math.IsInf(cost[open], 1) {
				continue // too near to the end of the grid to poll again
			}
			at := price * g.age[open]
			hull = push(hull, line{-at, at*g.weight[open] - price*g.moment[open] + cost[open]})
		}
		switch {
		case g.running[i] == 0:
			cost[i] = 0
		case len(hull) == 0:
			cost[i] = math.Inf(1)
		default:
			cost[i] = g.running[i] + price*g.moment[i] + lowest(hull, g.weight[i])
		}
	}
	return cost[0]
}

// leastCostWithin is leastCost where no gap is longer than most, in steps by the
// square.
func (g *grid) leastCostWithin(price, floor float64, most adaptive.Delay, cost []float64) float64 {
	for i := len(cost) - 1; i >= 0; i-- {
		if cost[i] = 0; g.running[i] == 0 {
			continue
		}
		best, first := math.Inf(1), sort.SearchFloat64s(g.age, g.age[i]+floor)
		for j := max(first, i+1); j < len(cost) && g.age[j] <= g.age[i]+tau(most, g.age[i]); j++ {
			best = min(best, price*(g.age[j]*(g.weight[j]-g.weight[i])-(g.moment[j]-g.moment[i]))+cost[j])
		}
		cost[i] = g.running[i] + best
	}
	return cost[0]
}

type line struct{ slope, offset float64 }

func (l line) at(x float64) float64 { return l.slope*x + l.offset }

// push adds a line of larger slope than all before, and drops those that are
// lowest nowhere any more.
func push(hull []line, l line) []line {
	for n := len(hull); n >= 2; n-- {
		a, b := hull[n-2], hull[n-1]
		if (l.offset-a.offset)*(b.slope-a.slope) > (b.offset-a.offset)*(l.slope-a.slope) {
			break
		}
		hull = hull[:n-1]
	}
	return append(hull, l)
}

// lowest returns the least value of the lines at x.
func lowest(hull []line, x float64) float64 {
	i := sort.Search(len(hull)-1, func(i int) bool { return hull[i].at(x) <= hull[i+1].at(x) })
	return hull[i].at(x)
}
