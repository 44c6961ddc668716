package sandbox

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
)

// task is one simulated task. Copies share its maps and slices, which are
// never changed once it is made.
type task struct {
	id        string
	params    map[string]string // other parameters that its reference must repeat
	request   map[string]string // what templates read from the creating request, by GJSON path
	owner     owner
	canary    string
	seed      uint64 // of everything that is drawn for it
	bodyBytes int

	created time.Time
	started time.Time // zero before the first run began
	course  []stay
	polls   int64
}

// stay is the time that a task begins to be in a state.
type stay struct {
	state string
	from  time.Time
}

// state returns where the task is at now.
func (t *task) state(now time.Time) string { return t.course[t.at(now)].state }

func (t *task) at(now time.Time) int {
	i := len(t.course) - 1
	for i > 0 && t.course[i].from.After(now) {
		i--
	}
	return i
}

// draw returns the random numbers of a task for one purpose.
func (t *task) draw(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(t.seed, purpose)) }

// plan lays legs out from now. Durations are drawn on a logarithmic scale: most
// real tasks are short, and some are very long.
func plan(legs []script.Leg, now time.Time, speed float64, rng *rand.Rand) []stay {
	course := make([]stay, 0, len(legs))
	for _, leg := range legs {
		course = append(course, stay{state: leg.State, from: now})
		low, high := float64(leg.Min), float64(leg.Max)
		length := rng.Float64() * high
		if low > 0 {
			length = low * math.Exp(rng.Float64()*math.Log(high/low))
		}
		now = now.Add(time.Duration(length / speed))
	}
	return course
}

// turn sets the task on another course from now on.
func (t *task) turn(sim *script.Simulation, legs []script.Leg, now time.Time, speed float64) {
	t.started = t.firstRun(sim)
	if t.started.After(now) {
		t.started = time.Time{}
	}
	// The course's age tells this turn from any other of the same task.
	purpose := uint64(now.Sub(t.created))
	t.course = plan(legs, now, speed, t.draw(purpose+1))
}

// firstRun is when the task begins to run, or ends unrun; zero if it does neither.
func (t *task) firstRun(sim *script.Simulation) time.Time {
	if !t.started.IsZero() {
		return t.started
	}
	return t.begin(func(name string) bool { return sim.States[name].Status != normalize.Queued })
}

// end is when the course reaches a terminal state, zero if it never does.
func (t *task) end(sim *script.Simulation) time.Time {
	return t.begin(func(name string) bool { return sim.States[name].Status.Terminal() })
}

func (t *task) begin(of func(state string) bool) time.Time {
	i := slices.IndexFunc(t.course, func(s stay) bool { return of(s.state) })
	if i < 0 {
		return time.Time{}
	}
	return t.course[i].from
}

// progress is how much of the present run is done at now, from 0 to 1.
func (t *task) progress(sim *script.Simulation, now time.Time) float64 {
	from := t.begin(func(name string) bool { return sim.States[name].Status != normalize.Queued })
	to := t.end(sim)
	switch {
	case from.IsZero() || now.Before(from):
		return 0
	case to.IsZero():
		return 0.5
	case !now.Before(to):
		return 1
	}
	return float64(now.Sub(from)) / float64(to.Sub(from))
}
