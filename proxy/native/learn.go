package native

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/providers"
	"pollux/providers/format"
	"pollux/proxy/access"
	"pollux/proxy/poller"
	"pollux/proxy/poller/upstream"
	"pollux/proxy/wire"
)

// lessonBytes is how much of a body is kept in order to learn from it. What is
// longer passes all the same, and teaches nothing.
const lessonBytes = 1 << 20

// lessonsBytes is how much is kept for that of all requests together.
const lessonsBytes = 64 << 20

// excerpt keeps a body of at most lessonBytes, as long as all together keep
// less than lessonsBytes. A nil one keeps nothing.
type excerpt struct {
	all     *atomic.Int64 // bytes that all excerpts keep
	b       []byte
	tooLong bool
}

func (e *excerpt) hear(p []byte) {
	if e == nil || e.tooLong || len(p) == 0 {
		return
	}
	if len(e.b)+len(p) > lessonBytes || e.all.Load()+int64(len(p)) > lessonsBytes {
		e.drop()
		return
	}
	e.all.Add(int64(len(p)))
	e.b = append(e.b, p...)
}

// drop keeps nothing any more.
func (e *excerpt) drop() {
	if e == nil {
		return
	}
	e.all.Add(-int64(len(e.b)))
	e.b, e.tooLong = nil, true
}

func (e *excerpt) bytes() []byte {
	if e == nil || e.tooLong {
		return nil
	}
	return e.b
}

// lesson is what a forwarded request can teach about tasks: that one was made,
// that one is not any more what is stored of it, or that a credential is
// refused. It is for one goroutine at a time.
type lesson struct {
	service     *Service
	upstream    *access.Upstream
	partition   *upstream.Partition // nil: nothing is learned, since nobody knows who asks
	secret      *cache.Secret
	partitionID cache.ID
	credential  providers.Credential
	method      []byte
	path, query []byte
	create      *format.Create // nil: the request makes no task
	links       links          // what the answer has of them
	sent        *upload        // nil: no body
	sentIn      []string       // its content codings
	said        *excerpt       // of the answer, nil if it teaches nothing
	code        int
	header      http.Header
}

// newLesson copies what a lesson needs of the exchange. held is the credential
// that Pollux sends along, if it holds one.
func (s *Service) newLesson(x *access.Request, t *access.Upstream, held providers.Credential) *lesson {
	l := &lesson{
		service: s, upstream: t, links: forwardedLinks(x, t), method: bytes.Clone(x.Ctx.Method()),
		path: bytes.Clone(x.Rest), query: bytes.Clone(x.Facts.Query),
	}
	if !t.Held && !x.Caller.Sufficient(t) {
		return l
	}
	l.partition, l.partitionID, l.secret = x.EnterPartition(t), x.PartitionID, x.Rules.Secret
	if l.credential = x.Caller.Credential(t); t.Held {
		l.credential.Headers, l.credential.Query = held.Headers, held.Query
	}
	l.create = t.Parser.Create(l.method, l.path)
	return l
}

// prepare asks for an answer that can be read, where links in it have to be
// rewritten or a task is to be learned from it. h is the request's header.
func (l *lesson) prepare(h http.Header) {
	l.sentIn = upstream.Codings(h)
	switch {
	case len(l.links.paths) > 0:
		h.Del("Accept-Encoding")
	case l.create != nil:
		offerReadable(h)
	}
}

// heard is what the request said, as plain text; nil if that is not known.
func (l *lesson) heard() []byte { return decode(l.sentIn, l.sent.heard()) }

// listen returns what is to hear the request's body, nil unless that may say
// which task is meant.
func (l *lesson) listen() *excerpt {
	cancel := l.upstream.Provider.Cancel
	if l.partition != nil && (l.create != nil || cancel != nil && len(cancel.Body) > 0 && cancel.Request.Method == string(l.method)) {
		return &excerpt{all: &l.service.lessons}
	}
	return nil
}

// begun is told of the answer's head, nil if none came. A task that the request
// may have changed is asked for again from now on, whatever the answer: an
// upstream that failed may have acted.
func (l *lesson) begun(res *http.Response) {
	if l.partition == nil {
		return
	}
	if wire.ChangesState(l.method) {
		if r, ok := l.upstream.Parser.Affected(l.method, l.path, l.query, l.heard()); ok {
			l.service.engine.Freshen(l.about(r), string(l.method))
		}
	}
	if res == nil {
		return
	}
	l.code, l.header = res.StatusCode, res.Header.Clone()
	made := l.create != nil && res.StatusCode/100 == 2 && !isEventStream(res.Header)
	if made || res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		l.said = &excerpt{all: &l.service.lessons}
	}
}

// about is a request for the task r by who sent the forwarded one.
func (l *lesson) about(r providers.Reference) poller.Request {
	out := poller.Request{Upstream: l.upstream.Upstream, Partition: l.partition, Reference: r, Credential: l.credential}
	access.ReferenceKey(l.secret, &l.partitionID, r, &out.Key)
	return out
}

// hear is told of the answer's body, piece by piece.
func (l *lesson) hear(p []byte) { l.said.hear(p) }

// over is told that nothing more can be learned.
func (l *lesson) over() {
	l.said.drop()
	l.sent.forget()
}

// finished is told that the whole answer has been heard.
func (l *lesson) finished() {
	if l.said == nil {
		return
	}
	said := l.said
	l.said = nil
	defer said.drop()
	body := decode(upstream.Codings(l.header), said.bytes())
	if l.code/100 != 2 {
		l.service.engine.Overheard(l.upstream.Upstream, l.partition, l.credential, l.code, l.header, body)
		return
	}
	r, ok := l.upstream.Parser.Created(l.create, l.path, l.query, l.heard(), l.header, body)
	if !ok {
		return
	}
	// A create's answer often has the time of creation where a poll's has it.
	var created time.Time
	if v := l.upstream.Provider.Judge(r, http.StatusOK, l.header, body, time.Now()); v.Kind == providers.Answered {
		created = v.Task.CreatedAt
	}
	l.service.engine.Register(l.about(r), created)
}

func isEventStream(h http.Header) bool {
	return providers.MediaType(h.Get("Content-Type")) == string(wire.EventStream)
}

// relinked reads an answer in which links have to lead through Pollux, and
// returns it with only those links changed, and res without what was said of
// the bytes before. It returns nil, and res still whole, for every other
// answer.
func (l *lesson) relinked(res *http.Response) []byte {
	if len(l.links.paths) == 0 || isStream(res.Header) || res.ContentLength > lessonBytes {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, lessonBytes+1))
	plain, changed := []byte(nil), []byte(nil)
	if err == nil && len(body) <= lessonBytes {
		plain = decode(upstream.Codings(res.Header), body)
		changed = l.links.body(plain)
	}
	if bytes.Equal(changed, plain) {
		res.Body = resumed{io.MultiReader(bytes.NewReader(body), failing{err}, res.Body), res.Body}
		return nil
	}
	l.hear(body)
	l.finished()
	for _, name := range [...]string{"Content-Encoding", "Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		res.Header.Del(name)
	}
	return changed
}

// resumed is a body of which a part has been read.
type resumed struct {
	io.Reader
	io.Closer
}

// failing fails with err, or is empty if there is none.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}
