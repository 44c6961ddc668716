package normalize

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/xxh3"
)

// Mapping turns native answers into task documents by the rules of one provider
// file. It is immutable and safe for concurrent use.
type Mapping struct {
	statusPaths []string
	statusKeys  [][]string // how each path starts: members that must be unique
	prefix      string
	words       map[string]meaning // by word, folded
	codes       map[int]OutcomeSpec
	fold        bool
	other       Status // "" for Unknown
	rules       []rule
	fields      []field
	members     []volatileMember
	volatile    volatile   // all of members
	passing     bool       // some of members are volatile only while a condition holds
	settled     *Condition // nil if the provider does not settle
	paths       []PathSpec

	wantsResult  *Condition // nil if no result is a request of its own
	readsResult  bool       // some source does
	resultInto   string     // member that the whole result fills, "" for none
	expiresAfter time.Duration
	expiresAt    []source
}

// meaning is a word as the file spells it, and what it means.
type meaning struct {
	word string
	OutcomeSpec
}

type rule struct {
	when *Condition
	set  OutcomeSpec
	at   Position
}

// Result is a task document and what is known beside it.
type Result struct {
	Task        Task
	UnknownWord bool // the native word is not in the provider file
	Settled     bool // settle.until holds; false if there is none
	WantsResult bool // result.when holds; false if there is none

	// Expires is when what a terminal answer holds can be used no more. Zero:
	// the file says nothing, the task runs, or it does not tell when it ended;
	// see Expire.
	Expires    time.Time
	RuleErrors int // conditions that could not be evaluated, each taken for "does not hold"

	// Digest is equal for two answers exactly if their documents are, volatile
	// members and updated_at left out. NativeDigest says the same of the bodies.
	Digest, NativeDigest [16]byte
}

// ErrNoStatus is Map's error about an answer in which no status is found.
var ErrNoStatus = errors.New("the status is missing")

// Map reads a native answer. Its body must have passed CheckAnswer, and must not
// change afterwards: raw values of the task alias it. An error means that the
// status is missing (ErrNoStatus), no scalar, or ambiguous because a member on
// the way to it is there twice; it holds no upstream bytes. For other duplicates the first
// counts. Names and words are compared exactly. Upstream and Provider stay
// empty, UpdatedAt too unless the file maps it.
func (m *Mapping) Map(n Native) (Result, error) { return m.apply(n, nil) }

// Explain is Map, and says for the status and each member of the file, in its
// order, which source filled it and why the ones before did not.
func (m *Mapping) Explain(n Native) (Result, []FieldTrace, error) {
	var traces []FieldTrace
	r, err := m.apply(n, &traces)
	return r, traces, err
}

// Paths lists every GJSON path in use, those of conditions included; paths
// inside the elements of tool calls as path|#.inner.
func (m *Mapping) Paths() []PathSpec { return m.paths }

// Decides reports whether an HTTP code says all about the status, so that a
// body may be empty or no JSON.
func (m *Mapping) Decides(code int) bool { return m.StatusOf(code) != "" }

// StatusOf is the status that an HTTP code alone decides, "" if it does not.
func (m *Mapping) StatusOf(code int) Status { return m.codes[code].Status }

func (m *Mapping) apply(n Native, traces *[]FieldTrace) (Result, error) {
	doc := n.document()
	e := evaluation{doc: doc, scope: newScope(doc, n.HTTPStatus), param: n.Param, result: resultDocument(n.Result)}
	defer e.scope.release()
	var r Result
	native, outcome, err := m.judge(&e, &r, traces)
	if err != nil {
		return Result{}, err
	}
	if m.wantsResult != nil {
		r.WantsResult, _ = e.holds(m.wantsResult)
	}
	if n.Result != nil && n.Result.Failed != nil {
		outcome.Status = Failed
		e.scope.set(e.scope.Word, Failed)
		if traces != nil {
			status := &(*traces)[len(*traces)-1]
			status.Value, status.Tried = AppendString(nil, string(Failed)), append(status.Tried, SourceTrace{Source: resultSource, Outcome: "says that the task failed"})
		}
	}
	r.Task = m.fill(&e, native, outcome, nil, traces)
	m.finish(&e, &r, n.Result, traces)
	if m.settled != nil {
		r.Settled, _ = e.holds(m.settled)
	}
	m.digest(&e, &r, native, outcome, n.Result)
	r.RuleErrors = e.errors
	return r, nil
}

// judge finds what the code, the native word and the rules make of the answer.
// The rules see the status that the code or the word gave.
func (m *Mapping) judge(e *evaluation, r *Result, traces *[]FieldTrace) (native string, o OutcomeSpec, err error) {
	w, err := m.readWord(e.doc)
	o, decided := m.codes[e.scope.HTTP]
	var tried []SourceTrace
	switch {
	case decided:
		if traces != nil {
			tried = []SourceTrace{{Source: "code " + strconv.Itoa(e.scope.HTTP), Outcome: "decides: " + string(o.Status)}}
		}
		if native = w.native; native == "" {
			native = strconv.Itoa(e.scope.HTTP)
		}
	case err != nil:
		return "", o, err
	default:
		native, o = w.native, w.OutcomeSpec
		r.UnknownWord = !w.known && m.other == ""
		if traces != nil {
			tried = []SourceTrace{{Source: "path " + strings.Join(m.statusPaths, ", "), Outcome: w.outcome(o.Status)}}
		}
	}
	e.scope.set(w.word, o.Status)
	for _, rule := range m.rules {
		holds, err := e.holds(rule.when)
		// A word that the file does not list is never an end, whatever a rule
		// that looked at other members makes of it.
		barred := holds && !decided && !w.known && rule.set.Status.Terminal()
		holds = holds && !barred
		if traces != nil {
			tried = append(tried, SourceTrace{rule.at.Key, ruleOutcome(holds, barred, err, rule.set), rule.at.Line})
		}
		if holds {
			o = o.override(rule.set)
			break
		}
	}
	e.scope.set(w.word, o.Status)
	if traces != nil {
		*traces = append(*traces, FieldTrace{"status", AppendString(nil, string(o.Status)), tried})
	}
	return native, o, nil
}

// override returns o with what set says instead.
func (o OutcomeSpec) override(set OutcomeSpec) OutcomeSpec {
	if set.Status != "" {
		o.Status = set.Status
	}
	if set.RequiredAction != "" {
		o.RequiredAction = set.RequiredAction
	}
	if set.StatusReason != "" {
		o.StatusReason = set.StatusReason
	}
	o.CancelRequested = o.CancelRequested || set.CancelRequested
	return o
}

// fill makes the task from the document of e. If known is not nil, fields that
// hang on no volatile member keep what they read there.
func (m *Mapping) fill(e *evaluation, native string, o OutcomeSpec, known []reading, traces *[]FieldTrace) Task {
	t := Task{Status: o.Status, NativeStatus: native, CancelRequested: o.CancelRequested}
	if o.Status == Incomplete && o.StatusReason != "" {
		t.StatusReason = e.doc.textAt(o.StatusReason)
	}
	if waiting(o.Status) {
		t.RequiredAction = &RequiredAction{Type: o.RequiredAction}
	}
	if broken(o.Status) {
		t.Error = &Error{}
	}
	e.readings = make([]reading, len(m.fields))
	for i := range m.fields {
		f := &m.fields[i]
		if known != nil && !f.volatile {
			e.readings[i] = known[i]
		} else {
			e.readings[i] = f.read(e, o.Status, traces)
		}
		if r := &e.readings[i]; r.found {
			f.member.set(&t, r.value)
		}
	}
	t.complete()
	return t
}

func (f *field) read(e *evaluation, status Status, traces *[]FieldTrace) (r reading) {
	if f.member.only != nil && !f.member.only(status) {
		if traces != nil {
			*traces = append(*traces, FieldTrace{Field: f.name, Tried: []SourceTrace{{Outcome: "not while " + string(status)}}})
		}
		return r
	}
	trace := FieldTrace{Field: f.name}
	for i := range f.sources {
		s := &f.sources[i]
		v, outcome := s.read(e, f.member.typ)
		if traces != nil {
			trace.Tried = append(trace.Tried, SourceTrace{s.label(), outcome, s.at.Line})
		}
		if outcome == outcomeUsed {
			r = reading{v, true}
			if traces != nil {
				trace.Value = v.appendJSON(nil, f.member.typ)
				for _, s := range f.sources[i+1:] {
					trace.Tried = append(trace.Tried, SourceTrace{s.label(), outcomeLater, s.at.Line})
				}
			}
			break
		}
	}
	record(traces, trace)
	return r
}

// finish sets what follows from the task as a whole: the result of its own
// request and when the answer expires.
func (m *Mapping) finish(e *evaluation, r *Result, result *NativeResult, traces *[]FieldTrace) {
	t := &r.Task
	m.takeResult(t, result, traces)
	if !t.Status.Terminal() {
		return
	}
	for i := range m.expiresAt {
		if v, outcome := m.expiresAt[i].read(e, typeTime); outcome == outcomeUsed {
			r.Expires = v.at
			break
		}
	}
	if m.expiresAfter > 0 && !t.CompletedAt.IsZero() {
		r.Expires = t.CompletedAt.Add(m.expiresAfter)
	}
	t.expire(r.Expires)
}

// rendered has documents that are only hashed, up to maxRendered bytes each.
var rendered = sync.Pool{New: func() any { return new([]byte) }}

const maxRendered = 64 << 10

// digest computes both digests. The status and its reason stay as the whole body
// gave them, so that a rule over a volatile member still shows as a change.
func (m *Mapping) digest(e *evaluation, r *Result, native string, o OutcomeSpec, result *NativeResult) {
	task, body := r.Task, e.doc.body
	if now := m.volatileNow(e); len(now) > 0 && e.doc.root() != "" {
		stripped, any := now.strip(nil, e.doc.root())
		if body = stripped; any {
			doc := &document{text: string(stripped)}
			s := newScope(doc, e.scope.HTTP)
			defer s.release()
			s.set(e.scope.Word, o.Status)
			calm := evaluation{doc: doc, scope: s, param: e.param, result: e.result}
			without := Result{Task: m.fill(&calm, native, o, e.readings, nil)}
			m.finish(&calm, &without, result, nil)
			task = without.Task
			task.StatusReason = r.Task.StatusReason
		}
	}
	task.UpdatedAt = time.Time{}
	text := rendered.Get().(*[]byte)
	*text = task.AppendJSON((*text)[:0])
	r.Digest = xxh3.Hash128(*text).Bytes()
	if cap(*text) <= maxRendered {
		rendered.Put(text)
	}
	r.NativeDigest = xxh3.Hash128(body).Bytes()
}
