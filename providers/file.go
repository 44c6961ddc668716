package providers

import (
	"fmt"
	"strconv"
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/strictyaml"
)

// providerFile is a provider file as it is written, decoded and not yet
// checked. Where the order of a mapping matters it becomes a slice.
type providerFile struct {
	Name       text                  `yaml:"name"`
	Docs       text                  `yaml:"docs"`
	Verified   text                  `yaml:"verified"`
	BaseURL    text                  `yaml:"base_url"`
	Identity   identityFile          `yaml:"identity"`
	Params     inOrder[paramFile]    `yaml:"params"`
	OneOf      [][]text              `yaml:"one_of"`
	Reopenable bool                  `yaml:"reopenable"`
	Poll       pollFile              `yaml:"poll"`
	Create     oneOrMore[createFile] `yaml:"create"`
	Cancel     *cancelFile           `yaml:"cancel"`
	Touch      []text                `yaml:"touch"`
	Settle     settleFile            `yaml:"settle"`
	Result     *resultFile           `yaml:"result"`
	Expires    *expiresFile          `yaml:"expires"`
	Sweep      *sweepFile            `yaml:"sweep"`
	Inbound    *inboundFile          `yaml:"inbound"`
	Hosts      []text                `yaml:"hosts"`
	Status     statusFile            `yaml:"status"`
	Fields     inOrder[fieldFile]    `yaml:"fields"`
	Volatile   []volatileFile        `yaml:"volatile"`
	Observed   []text                `yaml:"observed"`
	Errors     errorsFile            `yaml:"errors"`
	Simulation *script.Simulation    `yaml:"simulation"`
}

type identityFile struct {
	Headers []text `yaml:"headers"`
	Query   []text `yaml:"query"`
	Select  []text `yaml:"select"`
	Need    text   `yaml:"need"`
	Scheme  text   `yaml:"scheme"`
}

type paramFile struct {
	In       text  `yaml:"in"`
	Pattern  text  `yaml:"pattern"`
	Optional bool  `yaml:"optional"`
	Default  text  `yaml:"default"`
	Task     bool  `yaml:"task"`
	Slashes  bool  `yaml:"slashes"`
	Max      whole `yaml:"max"`
}

type pollFile struct {
	Request     text            `yaml:"request"`
	Headers     inOrder[text]   `yaml:"headers"`
	Body        *bodyFile       `yaml:"body"`
	Safe        boolean         `yaml:"safe"`
	Documents   []whole         `yaml:"documents"`
	Links       oneOrMore[text] `yaml:"links"`
	LinkHeaders oneOrMore[text] `yaml:"link_headers"`
	Hints       []hintFile      `yaml:"hints"`

	First     duration   `yaml:"first"`
	Min       duration   `yaml:"min"`
	Steps     []duration `yaml:"steps"`
	Growth    number     `yaml:"growth"`
	Max       duration   `yaml:"max"`
	MaxQueued duration   `yaml:"max_queued"`
	GiveUp    duration   `yaml:"give_up"`
	Bypass    struct {
		Headers []text `yaml:"headers"`
	} `yaml:"bypass"`
}

// hintFile is where an answer says when to ask again.
type hintFile struct {
	Header text `yaml:"header"`
	Path   text `yaml:"path"`
	Unit   text `yaml:"unit"`
	node   *strictyaml.Node
}

type createFile struct {
	Request     text              `yaml:"request"`
	ID          oneOrMore[idFile] `yaml:"id"`
	Continues   text              `yaml:"continues"`
	Params      inOrder[text]     `yaml:"params"`
	Links       oneOrMore[text]   `yaml:"links"`
	LinkHeaders oneOrMore[text]   `yaml:"link_headers"`
}

// idFile is a path, or a mapping that says more.
type idFile struct {
	path, header, match text
	node                *strictyaml.Node
}

type cancelFile struct {
	Request      text      `yaml:"request"`
	Body         *bodyFile `yaml:"body"`
	OK           []whole   `yaml:"ok"`
	Refused      text      `yaml:"refused"`
	DeletesEnded bool      `yaml:"deletes_ended"`
}

type bodyFile = inOrder[memberFile]

// memberFile is a text, or the name of a parameter that is a number.
type memberFile struct{ text, number text }

type resultFile struct {
	Request  text             `yaml:"request"`
	Link     *idFile          `yaml:"link"`
	When     text             `yaml:"when"`
	Into     text             `yaml:"into"`
	Failed   []whole          `yaml:"failed"`
	MaxBytes strictyaml.Bytes `yaml:"max_bytes"`
	Hosts    []text           `yaml:"hosts"`
}

type expiresFile struct {
	After duration   `yaml:"after"`
	At    *fieldFile `yaml:"at"`
}

type sweepFile struct {
	Request text   `yaml:"request"`
	Items   text   `yaml:"items"`
	ID      idFile `yaml:"id"`
	Next    *struct {
		Path  text `yaml:"path"`
		Param text `yaml:"param"`
	} `yaml:"next"`
	Covers   []text `yaml:"covers"`
	MaxPages whole  `yaml:"max_pages"`
	Partial  bool   `yaml:"partial"`
}

type inboundFile struct {
	ID    idFile `yaml:"id"`
	Types *struct {
		Path  text      `yaml:"path"`
		Words wordsFile `yaml:"words"`
	} `yaml:"types"`
	Verify verifyFile `yaml:"verify"`
}

// wordsFile is a list of words; of a mapping its keys.
type wordsFile []text

// verifyFile is the name of a scheme, or a mapping that describes one.
type verifyFile struct {
	scheme    text
	HMAC      text            `yaml:"hmac"`
	Header    text            `yaml:"header"`
	Prefix    text            `yaml:"prefix"`
	Encoding  text            `yaml:"encoding"`
	Signed    oneOrMore[text] `yaml:"signed"`
	Timestamp *timestampFile  `yaml:"timestamp"`
	Ed25519   *ed25519File    `yaml:"ed25519"`
	Token     *struct {
		Header text `yaml:"header"`
		Query  text `yaml:"query"`
	} `yaml:"token"`
	node *strictyaml.Node
}

type timestampFile struct {
	Header    text     `yaml:"header"`
	Tolerance duration `yaml:"tolerance"`
}

type ed25519File struct {
	JWKS      text            `yaml:"jwks"`
	Header    text            `yaml:"header"`
	Prefix    text            `yaml:"prefix"`
	Encoding  text            `yaml:"encoding"`
	Signed    oneOrMore[text] `yaml:"signed"`
	Timestamp *timestampFile  `yaml:"timestamp"`
}

type settleFile struct {
	After []duration `yaml:"after"`
	Until text       `yaml:"until"`
}

type statusFile struct {
	Path   oneOrMore[text]      `yaml:"path"`
	Prefix text                 `yaml:"prefix"`
	Words  inOrder[outcomeFile] `yaml:"words"`
	Codes  inOrder[outcomeFile] `yaml:"codes"`
	Fold   bool                 `yaml:"fold"`
	Other  text                 `yaml:"other"`
	Rules  []ruleFile           `yaml:"rules"`
}

type ruleFile struct {
	When text        `yaml:"when"`
	Set  outcomeFile `yaml:"set"`
}

type errorsFile struct {
	Bodies []struct {
		Code    text `yaml:"code"`
		Message text `yaml:"message"`
	} `yaml:"bodies"`
	Rules   []errorRuleFile `yaml:"rules"`
	Missing text            `yaml:"missing"`
}

type errorRuleFile struct {
	When text `yaml:"when"`
	As   text `yaml:"as"`
}

// outcomeFile is a status word, or a mapping of what is set; node is nil when
// the file has neither.
type outcomeFile struct {
	normalize.OutcomeSpec
	node *strictyaml.Node
}

// volatileFile is a path, or a path with when it counts.
type volatileFile struct{ path, when text }

// fieldFile is a source or a list of sources.
type fieldFile struct{ sources []normalize.SourceSpec }

// text is a string and where it stands; node is nil when the file has none.
type text struct {
	value string
	node  *strictyaml.Node
}

// duration is a time.Duration and where it stands.
type duration struct {
	value time.Duration
	node  *strictyaml.Node
}

// number is a float and where it stands.
type number struct {
	value float64
	node  *strictyaml.Node
}

// whole is a whole number, such as an HTTP status, and where it stands.
type whole struct {
	value int
	node  *strictyaml.Node
}

// boolean is true or false and where it stands.
type boolean struct {
	value bool
	node  *strictyaml.Node
}

// named is one member of a mapping.
type named[T any] struct {
	name  string
	value T
	node  *strictyaml.Node // of the value
}

// inOrder is a mapping whose order matters.
type inOrder[T any] []named[T]

// oneOrMore is a T, or a list of them.
type oneOrMore[T any] []T

func (t *text) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	t.node = n
	return n.Decode(&t.value)
}

func (d *duration) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	d.node = n
	return n.Decode(&d.value)
}

func (f *number) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	f.node = n
	return n.Decode(&f.value)
}

func (w *whole) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	w.node = n
	return n.Decode(&w.value)
}

func (f *boolean) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	f.node = n
	return n.Decode(&f.value)
}

func (h *hintFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain hintFile // without this method, or Decode would come back here
	h.node = n
	return n.Decode((*plain)(h))
}

func (f *idFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	f.node = n
	if n.Kind() != strictyaml.Map {
		return n.Decode(&f.path)
	}
	var mapping struct {
		Path   text `yaml:"path"`
		Header text `yaml:"header"`
		Match  text `yaml:"match"`
	}
	faults := n.Decode(&mapping)
	f.path, f.header, f.match = mapping.Path, mapping.Header, mapping.Match
	return faults
}

func (m *memberFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() != strictyaml.Map {
		return n.Decode(&m.text)
	}
	var mapping struct {
		Number text `yaml:"number"`
	}
	faults := n.Decode(&mapping)
	if m.number = mapping.Number; m.number.node == nil {
		faults = append(faults, n.Fault("want a text, {param}, or {number: param} for a number"))
	}
	return faults
}

func (w *wordsFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() != strictyaml.Map {
		return n.Decode((*oneOrMore[text])(w))
	}
	for _, pair := range n.Map() {
		*w = append(*w, text{pair.Key, pair.KeyNode})
	}
	return nil
}

func (v *verifyFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain verifyFile
	v.node = n
	if n.Kind() != strictyaml.Map {
		return n.Decode(&v.scheme)
	}
	return n.Decode((*plain)(v))
}

func (m *inOrder[T]) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() != strictyaml.Map {
		return strictyaml.Faults{n.Fault("want a mapping")}
	}
	var faults strictyaml.Faults
	for _, pair := range n.Map() {
		member := named[T]{name: pair.Key, node: pair.Value}
		faults = append(faults, pair.Value.Decode(&member.value)...)
		*m = append(*m, member)
	}
	return faults
}

func (l *oneOrMore[T]) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	nodes := []*strictyaml.Node{n}
	if n.Kind() == strictyaml.List {
		nodes = n.List()
	}
	var faults strictyaml.Faults
	*l = make([]T, len(nodes))
	for i, node := range nodes {
		faults = append(faults, node.Decode(&(*l)[i])...)
	}
	return faults
}

func (o *outcomeFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	o.node = n
	if n.Kind() != strictyaml.Map {
		var word string
		faults := n.Decode(&word)
		o.Status = normalize.Status(word)
		return faults
	}
	var mapping struct {
		Status          string `yaml:"status"`
		CancelRequested bool   `yaml:"cancel_requested"`
		RequiredAction  string `yaml:"required_action"`
		StatusReason    string `yaml:"status_reason"`
	}
	faults := n.Decode(&mapping)
	o.OutcomeSpec = normalize.OutcomeSpec{
		Status: normalize.Status(mapping.Status), CancelRequested: mapping.CancelRequested,
		RequiredAction: mapping.RequiredAction, StatusReason: mapping.StatusReason,
	}
	return faults
}

func (v *volatileFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() != strictyaml.Map {
		return n.Decode(&v.path)
	}
	var mapping struct {
		Path text `yaml:"path"`
		When text `yaml:"when"`
	}
	faults := n.Decode(&mapping)
	if v.path, v.when = mapping.Path, mapping.When; v.path.node == nil {
		v.path.node = n
	}
	return faults
}

func (f *fieldFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	nodes := []*strictyaml.Node{n}
	if n.Kind() == strictyaml.List {
		nodes = n.List()
	}
	var faults strictyaml.Faults
	for _, node := range nodes {
		source, more := sourceSpec(node)
		faults = append(faults, more...)
		f.sources = append(f.sources, source)
	}
	return faults
}

// sourceSpec decodes a path, or a mapping that says more.
func sourceSpec(n *strictyaml.Node) (normalize.SourceSpec, strictyaml.Faults) {
	spec := normalize.SourceSpec{Position: position(n)}
	if n.Kind() != strictyaml.Map {
		return spec, n.Decode(&spec.Path)
	}
	var mapping struct {
		Path      string            `yaml:"path"`
		Param     string            `yaml:"param"`
		Result    string            `yaml:"result"`
		Sum       oneOrMore[string] `yaml:"sum"`
		Scale     number            `yaml:"scale"`
		When      string            `yaml:"when"`
		Match     string            `yaml:"match"`
		NotEmpty  bool              `yaml:"not_empty"`
		Time      string            `yaml:"time"`
		Join      *string           `yaml:"join"`
		Each      string            `yaml:"each"`
		ID        string            `yaml:"id"`
		Name      string            `yaml:"name"`
		Arguments string            `yaml:"arguments"`
	}
	faults := n.Decode(&mapping)
	spec.Path, spec.Param, spec.When, spec.Match = mapping.Path, mapping.Param, mapping.When, mapping.Match
	spec.NotEmpty, spec.Time, spec.Join = mapping.NotEmpty, mapping.Time, mapping.Join
	spec.Result, spec.Sum = mapping.Result, mapping.Sum
	if mapping.Scale.node != nil && !mapping.Scale.node.Broken() {
		spec.Scale = mapping.Scale.node.Scalar() // as it is written, for it is reckoned with exactly
	}
	if n.Get("each") != nil {
		spec.Each = &normalize.EachSpec{Path: mapping.Each, ID: mapping.ID, Name: mapping.Name, Arguments: mapping.Arguments}
		return spec, faults
	}
	for _, key := range []string{"id", "name", "arguments"} {
		if at := n.Get(key); at != nil {
			faults = append(faults, at.Fault("goes with each only"))
		}
	}
	return spec, faults
}

// position is where n stands, for faults that package normalize finds.
func position(n *strictyaml.Node) normalize.Position {
	if n == nil {
		return normalize.Position{}
	}
	return normalize.Position{Line: n.Line(), Column: n.Column(), Key: n.Path()}
}

// spec is the mapping part of the file.
func (f *providerFile) spec() normalize.Spec {
	s := normalize.Spec{
		Status:  normalize.StatusSpec{Prefix: f.Status.Prefix.value, Fold: f.Status.Fold, Other: normalize.Status(f.Status.Other.value), OtherAt: position(f.Status.Other.node)},
		Settled: f.Settle.Until.expr(),
	}
	for _, p := range f.Status.Path {
		s.Status.Paths = append(s.Status.Paths, p.path())
	}
	for _, c := range f.Status.Codes {
		code, _ := strconv.Atoi(c.name)
		s.Status.Codes = append(s.Status.Codes, normalize.CodeSpec{Code: code, OutcomeSpec: c.value.OutcomeSpec, Position: position(c.node)})
	}
	for _, d := range f.Poll.Documents {
		s.Documents = append(s.Documents, d.value)
	}
	if r := f.Result; r != nil {
		s.Result = normalize.ResultSpec{When: r.When.expr(), Into: r.Into.value, Position: position(r.Into.node)}
	}
	if s.Result.Position == (normalize.Position{}) {
		s.Result.Position.Key = "result"
	}
	if e := f.Expires; e != nil {
		s.Expires = e.spec()
	}
	for _, w := range f.Status.Words {
		s.Status.Words = append(s.Status.Words, normalize.WordSpec{Word: w.name, OutcomeSpec: w.value.OutcomeSpec, Position: position(w.node)})
	}
	for i, r := range f.Status.Rules {
		rule := normalize.RuleSpec{When: r.When.expr(), Set: r.Set.OutcomeSpec, SetAt: position(r.Set.node), Position: position(r.When.node)}
		if r.When.node == nil {
			rule.Position.Key = fmt.Sprintf("status.rules[%d].when", i)
		}
		if r.Set.node == nil {
			rule.SetAt.Key = fmt.Sprintf("status.rules[%d].set", i)
		}
		s.Status.Rules = append(s.Status.Rules, rule)
	}
	for _, field := range f.Fields {
		s.Fields = append(s.Fields, normalize.FieldSpec{Name: field.name, Sources: field.value.sources, Position: position(field.node)})
	}
	for _, v := range f.Volatile {
		s.Volatile = append(s.Volatile, normalize.VolatileSpec{PathSpec: v.path.path(), When: v.when.expr()})
	}
	for _, p := range f.Params {
		s.Params = append(s.Params, p.name)
	}
	return s
}

// spec reads a time that is a path alone in whichever form it has.
func (e *expiresFile) spec() normalize.ExpiresSpec {
	spec := normalize.ExpiresSpec{After: e.After.value}
	if e.At == nil {
		return spec
	}
	for _, source := range e.At.sources {
		spec.At = append(spec.At, source)
		if source.Time == "" {
			source.Time = "unix"
			spec.At = append(spec.At, source)
		}
	}
	return spec
}

func (t text) path() normalize.PathSpec {
	return normalize.PathSpec{Path: t.value, Position: position(t.node)}
}

func (t text) expr() normalize.ExprSpec {
	return normalize.ExprSpec{Code: t.value, Position: position(t.node)}
}
