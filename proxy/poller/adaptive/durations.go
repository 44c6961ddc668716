package adaptive

import "time"

// Durations is the one learner of how long an upstream's tasks take: from it
// come when a task is asked for again, which tasks are stuck, and the quantiles
// of whole tasks. Its methods may be called concurrently.
type Durations struct {
	Groups *Groups // schedules; nil: they are not learned

	statuses *statuses
	tasks    *Samples
}

// NewDurations returns a learner that knows nothing. Schedules are learned in
// groups, which may be nil.
func NewDurations(groups *Groups) *Durations {
	return &Durations{Groups: groups, statuses: &statuses{}, tasks: &Samples{}}
}

// Inherit takes over what another learner of the upstream knows, which is not
// used any more. Schedules are computed anew from it, since they may be
// configured otherwise.
func (d *Durations) Inherit(old *Durations) {
	d.statuses, d.tasks = old.statuses, old.tasks
	if d.Groups != nil && old.Groups != nil {
		if learned, err := old.Groups.MarshalBinary(); err == nil {
			_ = d.Groups.UnmarshalBinary(learned) // it was written a line above
		}
	}
}

// Left notes that a task of the group left a status after so long.
func (d *Durations) Left(group, status string, after time.Duration) {
	d.statuses.learn(group, status, after)
}

// Ended notes that a task ended after so long.
func (d *Durations) Ended(after time.Duration) { d.tasks.Add(max(0, after)) }

// Usual is how long nearly all tasks of the group stay in a status. ok is false
// while too few have left it.
func (d *Durations) Usual(group, status string) (usual time.Duration, ok bool) {
	return d.statuses.usual(group, status)
}

// Tasks are the quantiles of the latest tasks that ended.
func (d *Durations) Tasks() Quantiles { return d.tasks.Quantiles() }
