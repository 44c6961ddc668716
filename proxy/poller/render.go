package poller

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"pollux/cache"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// maxHistory bounds the status changes kept of one task; the oldest but the
// first go.
const maxHistory = 100

// rawEntry is the native side of an entry.
type rawEntry struct {
	code        int
	contentType string
	header      []cache.Header
	body        []byte
}

// own returns text as one of known or as a copy: a text of a task is part of the
// whole answer's, which would stay in memory with it.
func own(text string, known []string) string {
	if at := slices.Index(known, text); at >= 0 {
		return known[at]
	}
	return strings.Clone(text)
}

// render makes the entry of an answer. An answer whose digest is the known
// one's changes nothing but its age and what is volatile in the document:
// validator and history stay.
func (p *Poller) render(r Request, known *cache.Entry, v providers.Verdict, raw rawEntry, now time.Time) *cache.Entry {
	u := r.Upstream
	var expires time.Time
	if v.Task.Status.Terminal() {
		expires = u.Provider.ExpiresAt(&v, firstEnded(known, now))
	}
	task := v.Task
	e := &cache.Entry{
		Key: r.Key, Partition: r.Partition.ID, Upstream: u.Name, Provider: u.Provider.Name, Revision: u.Provider.Revision,
		Ref: u.Name + "/" + u.Parser.Format(r.Reference), Values: r.Reference.Values,
		TaskID: own(task.ID, r.Reference.Values), Status: string(task.Status), NativeStatus: task.NativeStatus, Terminal: task.Status.Terminal(),
		Digest: v.Digest, Native: raw.body, NativeType: raw.contentType, NativeCode: raw.code, NativeHeader: raw.header,
		CreatedAt: task.CreatedAt, CompletedAt: task.CompletedAt, UpdatedAt: changeTime(now), FirstSeen: now, ObservedAt: now,
	}
	if task.Model != nil {
		e.Model = own(*task.Model, nil)
	}
	if task.Error != nil && task.Error.Code != nil {
		e.ErrorCode = own(*task.Error.Code, nil)
	}
	if known != nil {
		e.FirstSeen, e.Submitted, e.History, e.PersistedAt = known.FirstSeen, known.Submitted, known.History, known.PersistedAt
	}
	if known != nil && known.Digest == e.Digest && known.Document != nil && known.Revision == e.Revision {
		e.UpdatedAt, e.ETag, e.Stored = known.UpdatedAt, known.ETag, known.Stored
	}
	task.Upstream, task.Provider = u.Name, u.Provider.Name
	if task.UpdatedAt.IsZero() { // unless the file trusts the upstream's own
		task.UpdatedAt = e.UpdatedAt
	}
	if e.Document = task.AppendJSON(nil); e.ETag == "" {
		e.ETag = validator(xxh3.Hash128(e.Document).Bytes())
	}
	e.NativeETag = nativeValidator(e.ETag, v.NativeDigest)
	if e.Polls = 1; known != nil {
		e.Polls += known.Polls
	}
	if n := len(e.History); n == 0 || e.History[n-1].Status != e.Status || e.History[n-1].NativeStatus != e.NativeStatus {
		e.History = append(slices.Clip(e.History), cache.Change{Status: e.Status, NativeStatus: e.NativeStatus, At: now, Poll: e.Polls})
		if len(e.History) > maxHistory {
			e.History = slices.Delete(e.History, 1, 2)
		}
	}
	e.Asked = asked(v.RetryAfter)
	e.FreshUntil = now.Add(u.PollAgain(known, e, task.Progress.Percent, v.RetryAfter, now))
	p.settleState(u, known, e, v.Settled || u.Provider.Result != nil && !v.WantsResult && len(u.Provider.Settle) == 0, v.WantsResult, now)
	u.Expire(e, expires, now)
	return e
}

// asked is how long an upstream that says wait is left alone, 0 if it says nothing.
func asked(wait time.Duration) time.Duration {
	if wait <= 0 {
		return 0
	}
	return upstream.ClampRetryAfter(wait)
}

// changeTime is the moment of a change as documents and lists tell it.
func changeTime(now time.Time) time.Time { return now.UTC().Truncate(time.Microsecond) }

func validator(digest [16]byte) string {
	var text [26]byte
	return string(append(base64.RawURLEncoding.AppendEncode(append(text[:0], `W/"`...), digest[:]), '"'))
}

// nativeValidator changes when the document does, and when the native body
// does in more than its volatile fields.
func nativeValidator(etag string, digest [16]byte) string {
	h := xxh3.New()
	_, _ = h.WriteString(etag)
	_, _ = h.Write(digest[:])
	return validator(h.Sum128().Bytes())
}
