package sandbox

import "maps"

// counts is what an upstream has been asked.
type counts struct {
	kinds            [len(kindNames)]int64
	faulted, limited int64
}

// Stats is what every simulated upstream has been asked since the start.
type Stats struct {
	Upstreams map[string]UpstreamStats `json:"upstreams"`
}

// UpstreamStats counts requests by what they were for, whatever came of them.
type UpstreamStats struct {
	Requests    int64            `json:"requests"`
	Polls       int64            `json:"polls"`
	Creates     int64            `json:"creates"`
	Cancels     int64            `json:"cancels"`
	Listings    int64            `json:"listings"`
	Other       int64            `json:"other"`
	RateLimited int64            `json:"rate_limited"`
	Faulted     int64            `json:"faulted"`
	Tasks       int              `json:"tasks"`
	TaskPolls   map[string]int64 `json:"task_polls"` // of the tasks that still exist and were polled
}

// Stats returns the counts of this moment.
func (s *Server) Stats() Stats {
	all := Stats{Upstreams: make(map[string]UpstreamStats, len(s.upstreams))}
	for name, u := range maps.All(s.upstreams) {
		all.Upstreams[name] = u.stats()
	}
	return all
}

func (u *upstream) stats() UpstreamStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := u.counts.kinds
	stats := UpstreamStats{
		Polls: k[poll], Creates: k[create], Cancels: k[cancel], Listings: k[listing], Other: k[other] + k[action],
		RateLimited: u.counts.limited, Faulted: u.counts.faulted,
		Tasks: len(u.tasks), TaskPolls: map[string]int64{},
	}
	stats.Requests = stats.Polls + stats.Creates + stats.Cancels + stats.Listings + stats.Other
	for id, t := range u.tasks {
		if t.polls > 0 {
			stats.TaskPolls[id] = t.polls
		}
	}
	return stats
}

// count notes a request of kind k about the task id, if it exists.
func (u *upstream) count(k kind, id string, faulted bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts.kinds[k]++
	if faulted {
		u.counts.faulted++
	}
	if t := u.tasks[id]; t != nil && k == poll {
		t.polls++
	}
}
