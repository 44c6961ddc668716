package upstream

import (
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/normalize"
)

// unknownFor is how long a task may be unknown, whatever others need.
const unknownFor = 10 * time.Minute

// Patience is how long a task of the group may be in a status before it counts
// as stuck: what nearly all others needed, and the time in which Pollux may not
// have noticed yet. ok is false where nothing is known.
func (u *Upstream) Patience(group, status string) (d time.Duration, ok bool) {
	if d, ok = u.Learned.Usual(group, status); ok {
		d += u.lifetime(normalize.Status(status), 0)
	}
	if status == string(normalize.Unknown) && (!ok || d > unknownFor) {
		return unknownFor, true
	}
	return d, ok
}

// Group is the name under which the durations of an entry's task are learned:
// its model, a parameter of its reference, or a member of its metadata, as
// group_by says.
func (u *Upstream) Group(e *cache.Entry) string {
	if group, ok := u.groupBy(e.Model, e.Values); ok {
		return group
	}
	return gjson.GetBytes(e.Document, "metadata."+gjson.Escape(strings.TrimPrefix(u.Config.GroupBy, "metadata."))).String()
}

// RowGroup is Group for a row of the index, which has no metadata: such tasks
// are in no group.
func (u *Upstream) RowGroup(r *cache.Row) string {
	group, _ := u.groupBy(r.Model, r.Values)
	return group
}

// groupBy is the group by model or parameter; ok is false if tasks are grouped
// by something else.
func (u *Upstream) groupBy(model string, values []string) (group string, ok bool) {
	if u.Config.GroupBy == "model" {
		return model, true
	}
	for i, param := range u.Provider.Params {
		if param.Name == u.Config.GroupBy && i < len(values) {
			return values[i], true
		}
	}
	return "", false
}
