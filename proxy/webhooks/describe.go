package webhooks

import (
	"slices"
	"time"

	"pollux/cache"
	"pollux/proxy/problem"
)

// Description is what a caller may know of a webhook.
type Description struct {
	ID         string         `json:"id"`
	URL        string         `json:"url"` // without its query
	On         []string       `json:"on"`
	State      string         `json:"state"` // active, gone once the receiver has answered 410, ended once its client or all its upstreams were taken away
	CreatedAt  time.Time      `json:"created_at"`
	Tasks      []TaskView     `json:"tasks"`
	Deliveries []DeliveryView `json:"deliveries"`
}

// TaskView is one task of a WebhookView. Status is nil while it is not known,
// or not to be shown.
type TaskView struct {
	Task    string    `json:"task"`
	Status  *string   `json:"status"`
	State   TaskState `json:"state"`
	Problem *string   `json:"problem"`
}

// DeliveryView is one message of a WebhookView.
type DeliveryView struct {
	ID          string        `json:"id"`
	Type        string        `json:"type"`
	State       DeliveryState `json:"state"`
	Attempts    []Attempt     `json:"attempts"`
	NextAttempt *time.Time    `json:"next_attempt_at"`
}

// Describe returns what there is to see of a webhook, of the partitions that shown
// names; nil if there is none.
func (w *Service) Describe(id string, shown func(partition *cache.ID) bool) *Description {
	w.mu.RLock()
	defer w.mu.RUnlock()
	hook := w.byID[id]
	if hook == nil {
		return nil
	}
	v := &Description{ID: hook.id, URL: hook.shown, On: hook.on, State: hook.state(), CreatedAt: hook.created,
		Tasks: []TaskView{}, Deliveries: []DeliveryView{}}
	for _, t := range hook.tasks {
		if shown(&t.Partition) {
			v.Tasks = append(v.Tasks, w.viewTask(t))
		}
	}
	for _, d := range hook.deliveries {
		if !shown(&d.partition) {
			continue
		}
		one := DeliveryView{ID: d.id, Type: d.kind, State: d.state, Attempts: slices.Clone(d.attempts)}
		if one.Attempts == nil {
			one.Attempts = []Attempt{}
		}
		if d.state == DeliveryPending {
			one.NextAttempt = new(d.next.UTC())
		}
		v.Deliveries = append(v.Deliveries, one)
	}
	return v
}

func (w *Service) viewTask(t *followed) TaskView {
	v := TaskView{Task: t.Ref, State: TaskWatching}
	suspended := w.rooms[t.Partition].suspended
	switch {
	case t.done:
		v.State = TaskDone
	case suspended, t.request == nil, t.problem == string(problem.Unauthorized), t.problem == string(problem.Forbidden):
		v.State = TaskSuspended
	}
	if t.status != "" && !suspended {
		v.Status = new(t.status)
	}
	if t.problem != "" {
		v.Problem = new(t.problem)
	}
	return v
}
