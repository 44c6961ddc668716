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

// patience is how long a task of the group may be in a status before it counts
// as stuck: what nearly all others needed, and the time in which Pollux may not
// have noticed yet. ok is false where nothing is known.
func (u *Upstream) Patience(group, status string) (d time.Duration, ok bool) {
	if d, ok = u.stats.paces.Usual(group, status); ok {
		d += u.lifetime(normalize.Status(status), 0)
	}
	if status == string(normalize.Unknown) && (!ok || d > unknownFor) {
		return unknownFor, true
	}
	return d, ok
}

// groupOf is the group of an entry, as group gives it for its task.
func (u *Upstream) GroupOf(e *cache.Entry) string {
	if member, ok := strings.CutPrefix(u.Config.GroupBy, "metadata."); ok {
		return gjson.GetBytes(e.Document, "metadata."+gjson.Escape(member)).Raw
	}
	return u.GroupBy(e.Model, e.Values)
}

// groupBy is the group by model or parameter, "" if the upstream's tasks are
// grouped by something else.
func (u *Upstream) GroupBy(model string, values []string) string {
	if u.Config.GroupBy == "model" {
		return model
	}
	for i, param := range u.Provider.Params {
		if param.Name == u.Config.GroupBy && i < len(values) {
			return values[i]
		}
	}
	return ""
}
