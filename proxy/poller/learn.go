package poller

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
	"pollux/proxy/poller/adaptive"
)

// newGroups returns what an upstream on schedule: adaptive learns, nil for one
// on schedule: fixed.
func newGroups(cfg UpstreamConfig, provider *providers.Provider) *adaptive.Groups {
	if cfg.Schedule != "adaptive" {
		return nil
	}
	return adaptive.NewGroups(adaptive.Config{
		Target:   adaptive.Delay(cfg.TargetDelay),
		MaxDelay: adaptive.Delay(cfg.MaxDelay),
		Floor:    max(cfg.MinInterval, provider.Poll.Min),
	}, adaptive.MaxGroups, rand.Float64)
}

// group is the name under which a task's duration is learned: its model, a
// parameter of its reference, or a member of its metadata, as group_by says.
func (u *Upstream) group(r providers.Reference, task *normalize.Task) string {
	by := u.Config.GroupBy
	if by == "model" {
		if task.Model != nil {
			return *task.Model
		}
		return ""
	}
	for i, param := range u.Provider.Params {
		if param.Name == by && i < len(r.Values) {
			return r.Values[i]
		}
	}
	for _, m := range task.Metadata {
		if m.Name == strings.TrimPrefix(by, "metadata.") {
			return string(m.Value)
		}
	}
	return ""
}

// start is when the task began as far as anybody knows. known is false when
// that is only when Pollux first saw it.
func start(task *normalize.Task, e *cache.Entry, now time.Time) (at time.Time, known bool) {
	if _, ok := adaptive.Age(task.CreatedAt, now); ok {
		return task.CreatedAt, true
	}
	return e.FirstSeen, e.Submitted
}

// pollAgain is how long after now the entry e of task is asked for again: by
// the configured freshness, or by what was learned about such tasks. It also
// teaches what the answer tells.
func (u *Upstream) pollAgain(r Request, known, e *cache.Entry, task *normalize.Task, retryAfter time.Duration, now time.Time) time.Duration {
	if u.groups == nil || e.Status == string(normalize.RequiresAction) {
		return u.lifetime(task.Status, retryAfter)
	}
	began, sure := start(task, e, now)
	group := u.group(r.Reference, task)
	if known != nil && !known.Terminal && known.Status != string(normalize.RequiresAction) {
		late := now.Sub(known.FreshUntil)
		answer := adaptive.Answer{
			Age: now.Sub(began), Done: e.Terminal,
			OnTime: late < max(500*time.Millisecond, known.FreshUntil.Sub(known.ObservedAt)/10),
		}
		if !task.CompletedAt.IsZero() {
			answer.Completed = max(0, task.CompletedAt.Sub(began))
		}
		u.groups.Observe(group, adaptive.Job{News: known.ObservedAt.Sub(began), UnknownStart: !sure}, answer)
	}
	if e.Terminal {
		return u.lifetime(task.Status, retryAfter)
	}
	hint := adaptive.Hint{}
	if retryAfter > 0 {
		hint.RetryAfter = clampRetryAfter(retryAfter)
	}
	if percent, err := strconv.ParseFloat(string(task.Progress.Percent), 64); err == nil {
		hint.Percent = percent
	}
	return u.groups.Next(group, adaptive.Job{News: max(0, now.Sub(began)), UnknownStart: !sure}, hint)
}
