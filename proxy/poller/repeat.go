package poller

import (
	"bytes"
	"time"

	"github.com/tidwall/gjson"

	"pollux/cache"
	"pollux/normalize"
	"pollux/providers"
	"pollux/proxy/poller/upstream"
)

// Most polls of a running task bring what the last one did, byte for byte. What
// such an answer means is known, but for how long it asks to wait. Where a file
// has a second request for the result, the answer to that may differ all the same.

// repeated reports whether res is the answer that f's task is known by.
func (f *flight) repeated(res *upstream.Response) bool {
	k := f.known
	return k != nil && k.Judged && k.Revision == f.r.Upstream.Provider.Revision && res.Unusable == "" &&
		res.Code == k.NativeCode && res.Header.Get("Content-Type") == k.NativeType && bytes.Equal(res.Body, k.Native)
}

// repetition is the verdict on an answer that repeats known and asks to wait so long.
func repetition(known *cache.Entry, wait time.Duration) providers.Verdict {
	return providers.Verdict{
		Kind: providers.Answered, RetryAfter: wait, Digest: known.Digest,
		Task: normalize.Task{ID: known.TaskID, Status: normalize.Status(known.Status), NativeStatus: known.NativeStatus},
	}
}

// repeat is render of an answer that repeats known.
func (p *Poller) repeat(u *upstream.Upstream, known *cache.Entry, header []cache.Header, wait time.Duration, now time.Time) *cache.Entry {
	e := *known
	e.NativeHeader, e.ObservedAt, e.Asked = header, now, asked(wait)
	e.Polls++
	progress := normalize.Number(gjson.GetBytes(e.Document, "progress.percent").Raw)
	e.FreshUntil = now.Add(u.PollAgain(known, &e, progress, wait, now))
	return &e
}
