package adaptive

import "math"

// A plan looks beyond the next poll: what a poll is worth depends on how well the
// one after it can be placed. It is the exact optimum for the learned hazard, by
// dynamic programming over a grid of ages, and gains where ends come together
// (tasks that all take a minute; failures at once, or a long run), up to a fifth
// of all polls. Where gaps are shorter than the grid, the accrual rule is the
// optimum already.
const (
	cells  = 4 // of the grid in each bin
	points = (bins-1)*cells + 1
)

var ages = planAges()

func planAges() (a [points]float64) {
	for b := range bins - 1 {
		for i := range cells {
			share := float64(i) / cells
			if a[b*cells+i] = share; b > 0 {
				a[b*cells+i] = edges[b] * math.Pow(ratio, share)
			}
		}
	}
	a[points-1] = edges[bins-1]
	return a
}

// plan is what the polls to come cost a task that runs at each of ages, their
// delay included, in the unit of the price.
type plan struct {
	cost  [points]float64
	since int // answers learned from since it was made
	made  bool
}

const (
	// replanAfter bounds the answers that a plan does not know of.
	replanAfter = 8
	// coarseCells is the shortest gap, in cells, that is left to a plan. Shorter
	// ones depend on single bins, and those on chance.
	coarseCells = 30
)

// coarse reports whether a gap of a task that runs at age is for a plan to find.
func coarse(age, gap float64) bool {
	k := pointAt(age)
	return k < points-1 && gap > coarseCells*(ages[k+1]-ages[k])
}

// cell is what happens to a task that runs at the beginning of a cell until its end.
type cell struct{ length, fails, waited, weight float64 }

func cellOf(hazard, weight, u float64) cell {
	a := accrual{alive: 1}.after(hazard, 1, u)
	return cell{length: u, fails: 1 - a.alive, waited: a.delay, weight: weight}
}

// through is accrual.after of a whole cell.
func (a accrual) through(c *cell) accrual {
	return accrual{
		alive: a.alive * (1 - c.fails),
		ended: a.ended + c.weight*a.alive*c.fails,
		delay: a.delay + a.ended*c.length + c.weight*a.alive*c.waited,
	}
}

// make works the plan out backwards. With V the cost from an age on,
//
//	V(i) = price + min over j of (delay of the ends in i..j, noticed at j) + P(runs at j) V(j)
//
// or, where polls come closer than the grid, what polls of the best density cost
// on the way to the next age.
func (p *plan) make(s *state, policy *policy) {
	var grid [points]cell
	for k := range points - 1 {
		grid[k] = cellOf(s.hazard[k/cells], policy.weight[k/cells], ages[k+1]-ages[k])
	}
	p.cost[points-1] = s.price
	for i := points - 2; i >= 0; i-- {
		b := i / cells
		c := &grid[i]
		dense := math.Sqrt(2*policy.weight[b]*s.hazard[b]*s.price)*c.length + (1-c.fails)*p.cost[i+1]
		shortest, longest := policy.config.shortest(ages[i]), policy.config.latest(ages[i])
		best := math.Inf(1)
		a := accrual{alive: 1}
		for j := i; j < points-1 && a.delay < best; j++ {
			if rest := ages[i] + longest - ages[j]; rest < ages[j+1]-ages[j] { // the bound is within the cell
				a = a.after(s.hazard[j/cells], policy.weight[j/cells], rest)
				best = min(best, a.delay+a.alive*p.at(j, rest))
				break
			}
			a = a.through(&grid[j])
			if ages[j+1]-ages[i] >= shortest {
				best = min(best, a.delay+a.alive*p.cost[j+1])
			}
		}
		p.cost[i] = min(s.price+best, dense)
	}
	p.since, p.made = 0, true
}

// at is the cost some time after one of ages.
func (p *plan) at(k int, u float64) float64 {
	return p.cost[k] + u/(ages[k+1]-ages[k])*(p.cost[k+1]-p.cost[k])
}

// gap is the best gap to the next poll of a task that runs at age, at least
// shortest and at most longest.
func (p *plan) gap(s *state, policy *policy, age, shortest, longest float64) float64 {
	best, gap := math.Inf(1), longest
	a := accrual{alive: 1}
	k := min(pointAt(age), points-2)
	for x := age; k < points-1 && a.delay < best; k++ {
		b := k / cells
		end := ages[k+1]
		// Four looks in a cell, between which the cost to come hardly bends.
		for i := range 4 {
			to := end
			if i < 3 {
				to = x + (end-x)/float64(4-i)
			}
			last := to-age >= longest
			if last {
				to = age + longest
			}
			a = a.after(s.hazard[b], policy.weight[b], to-x)
			x = to
			if last {
				if a.delay+a.alive*p.at(k, x-ages[k]) < best {
					gap = longest
				}
				return gap
			}
			if x-age < shortest {
				continue
			}
			if cost := a.delay + a.alive*p.at(k, x-ages[k]); cost < best {
				best, gap = cost, x-age
			}
		}
	}
	return min(gap, longest)
}

// pointAt is the last of ages that is not after age.
func pointAt(age float64) int {
	b := binAt(age)
	if b >= bins-1 {
		return points - 1
	}
	k := b * cells
	for k+1 < points && ages[k+1] <= age {
		k++
	}
	return k
}
