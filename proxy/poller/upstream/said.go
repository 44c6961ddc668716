package upstream

import (
	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/problem"
)

// Missing is the problem of a task that the upstream does not know.
func (u *Upstream) Missing(e *cache.Entry) *problem.Problem {
	if e.Gone {
		return SaidWith(u.gone, e.NativeCode)
	}
	return SaidWith(u.NotFound, e.NativeCode)
}

// SaidWith is p for an upstream that said so with another code than the usual
// 404; 0 is the usual one.
func SaidWith(p *problem.Problem, code int) *problem.Problem {
	if code == 0 || code == p.UpstreamStatus {
		return p
	}
	other := *p
	other.UpstreamStatus = code
	return &other
}

func (u *Upstream) Refusal(kind problem.Type, v providers.Verdict, upstreamStatus int) *problem.Problem {
	return &problem.Problem{Type: kind, Status: v.Status, Upstream: u.Name, UpstreamStatus: upstreamStatus, Detail: v.Reason}
}
