package upstream

import (
	"time"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
)

// sweep checks what the config says of listings.
func (v *validation) sweep(c *Config, p *providers.Provider) {
	switch {
	case c.Sweep < 0:
		v.Add("sweep", "want 0 or more; 0 reads no listing")
	case c.Sweep > 0 && p != nil && p.Sweep == nil:
		v.Add("sweep", "provider %s knows no listing that tells about many tasks", p.Name)
	}
	v.Want(c.SweepAtLeast >= 1, "sweep_at_least", "at least 1")
}

// Sweeps reports whether a listing of u may tell about a task of which e is
// known, nil being nothing.
func (u *Upstream) Sweeps(e *cache.Entry) bool {
	if u.Config.Sweep <= 0 || u.Provider.Sweep == nil {
		return false
	}
	return e == nil || !e.Missing && !e.Terminal && u.Provider.Sweep.Covers(normalize.Status(e.Status))
}

// SweepEvery is the pause between two sweeps of a listing.
func (u *Upstream) SweepEvery() time.Duration { return max(u.Config.Sweep, u.Provider.Poll.Min) }

// Speaks reports whether the upstream says by itself when there is news.
func (u *Upstream) Speaks(now time.Time) bool {
	return u.Config.Inbound != nil && u.messages.recent(now)
}
