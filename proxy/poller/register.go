package poller

import (
	"net/http"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/problem"
)

// confirmWithin is how long the upstream may deny a task whose create it has
// answered: some write it down a little after they have said its id.
const confirmWithin = 10 * time.Second

// Register notes a task whose create has just been answered, so that it is
// listed as queued before anybody polls it. What is known of it already stays.
// The entry is not fresh: the first poll asks. created is when the answer says
// that the task was made, zero if it does not.
func (p *Poller) Register(r Request, created time.Time) {
	now := time.Now()
	p.accepted(r.Upstream, r.Partition, r.Upstream.Account(r.Credential), now)
	rec := p.records.pin(&r.Key)
	defer p.records.unpin(rec)
	first := func(known *cache.Entry) (*cache.Entry, bool) {
		if known != nil && !known.Missing {
			return nil, false
		}
		return placeholder(r, created, now), true // a poll under way asked before there was a task
	}
	_, _ = p.learn(r.Upstream, rec, fact{revise: first, basis: p.known(rec, r)})
}

// placeholder is the entry of a task of which only its id is known.
func placeholder(r Request, created, now time.Time) *cache.Entry {
	u := r.Upstream
	task := normalize.Task{
		ID: u.Parser.TaskID(r.Reference), Upstream: u.Name, Provider: u.Provider.Name,
		Status: normalize.Queued, CreatedAt: created, UpdatedAt: changeTime(now),
	}
	e := &cache.Entry{
		Key: r.Key, Partition: r.Partition.ID, Upstream: u.Name, Provider: u.Provider.Name, Revision: u.Provider.Revision,
		Ref: u.Name + "/" + u.Parser.Format(r.Reference), Values: r.Reference.Values,
		TaskID: task.ID, Status: string(task.Status), Document: task.AppendJSON(nil),
		CreatedAt: created, UpdatedAt: task.UpdatedAt, FirstSeen: now, Submitted: true,
		ObservedAt: now, FreshUntil: now,
		Native:  []byte("null"), // NativeCode 0 says that there is no answer
		History: []cache.Change{{Status: string(task.Status), At: now}},
	}
	e.ETag = validator(xxh3.Hash128(e.Document).Bytes())
	e.NativeETag = e.ETag
	return e
}

// unconfirmed reports whether e is a placeholder that the upstream may still
// deny without meaning it.
func unconfirmed(e *cache.Entry, now time.Time) bool {
	return e != nil && e.Submitted && !e.Missing && e.NativeCode == 0 && now.Sub(e.FirstSeen) < confirmWithin
}

// Overheard notes what a forwarded answer other than a 2xx says of the
// credential: one that refuses it suspends the partition, as in a poll, unless
// that was an access token and there is another.
func (p *Poller) Overheard(u *upstream.Upstream, part *upstream.Partition, credential providers.Credential, code int, header http.Header, body []byte) {
	if code != http.StatusUnauthorized && code != http.StatusForbidden {
		return
	}
	v := u.Provider.Judge(providers.Reference{}, code, header, body, time.Now())
	if v.Kind == providers.Unauthorized && !u.Renews(credential) {
		p.suspend(u, part, u.Refusal(problem.Unauthorized, v, code))
	}
}
