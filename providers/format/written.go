package format

import (
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/signatures"
	"pollux/providers/strictyaml"
)

// written is a provider file as it stands there, decoded and not yet
// checked. Where the order of a mapping matters it becomes a slice.
type written struct {
	Name       text                             `yaml:"name"`
	Docs       text                             `yaml:"docs"`
	Verified   text                             `yaml:"verified"`
	BaseURL    text                             `yaml:"base_url"`
	Identity   identityFile                     `yaml:"identity"`
	Params     strictyaml.InOrder[paramFile]    `yaml:"params"`
	OneOf      [][]text                         `yaml:"one_of"`
	Reopenable bool                             `yaml:"reopenable"`
	Poll       pollFile                         `yaml:"poll"`
	Create     strictyaml.OneOrMore[createFile] `yaml:"create"`
	Cancel     *cancelFile                      `yaml:"cancel"`
	Touch      []text                           `yaml:"touch"`
	Settle     settleFile                       `yaml:"settle"`
	Result     *resultFile                      `yaml:"result"`
	Expires    *expiresFile                     `yaml:"expires"`
	Sweep      *sweepFile                       `yaml:"sweep"`
	Inbound    *inboundFile                     `yaml:"inbound"`
	Hosts      []text                           `yaml:"hosts"`
	Status     statusFile                       `yaml:"status"`
	Fields     strictyaml.InOrder[fieldFile]    `yaml:"fields"`
	Volatile   []volatileFile                   `yaml:"volatile"`
	Observed   []text                           `yaml:"observed"`
	Errors     errorsFile                       `yaml:"errors"`
	Simulation *script.Simulation               `yaml:"simulation"`
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
	Request     text                       `yaml:"request"`
	Headers     strictyaml.InOrder[text]   `yaml:"headers"`
	Body        *bodyFile                  `yaml:"body"`
	Safe        boolean                    `yaml:"safe"`
	Documents   []whole                    `yaml:"documents"`
	Links       strictyaml.OneOrMore[text] `yaml:"links"`
	LinkHeaders strictyaml.OneOrMore[text] `yaml:"link_headers"`
	Hints       []strictyaml.At[hintFile]  `yaml:"hints"`

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
}

type createFile struct {
	Request     text                         `yaml:"request"`
	ID          strictyaml.OneOrMore[idFile] `yaml:"id"`
	Continues   text                         `yaml:"continues"`
	Params      strictyaml.InOrder[text]     `yaml:"params"`
	Links       strictyaml.OneOrMore[text]   `yaml:"links"`
	LinkHeaders strictyaml.OneOrMore[text]   `yaml:"link_headers"`
}

// idFile is a path, or a mapping that says more.
type idFile struct {
	Path   text `yaml:"path"`
	Header text `yaml:"header"`
	Match  text `yaml:"match"`
	Node   *strictyaml.Node
}

type cancelFile struct {
	Request      text      `yaml:"request"`
	Body         *bodyFile `yaml:"body"`
	OK           []whole   `yaml:"ok"`
	Refused      text      `yaml:"refused"`
	DeletesEnded bool      `yaml:"deletes_ended"`
}

type bodyFile = strictyaml.InOrder[memberFile]

// memberFile is a text, or the name of a parameter that is a number.
type memberFile struct {
	text   text
	Number text `yaml:"number"`
}

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
	Verify signatures.Rules `yaml:"verify"`
}

// wordsFile is a list of words; of a mapping its keys.
type wordsFile []text

type settleFile struct {
	After []duration `yaml:"after"`
	Until text       `yaml:"until"`
}

type statusFile struct {
	Path   strictyaml.OneOrMore[text]      `yaml:"path"`
	Prefix text                            `yaml:"prefix"`
	Words  strictyaml.InOrder[outcomeFile] `yaml:"words"`
	Codes  strictyaml.InOrder[outcomeFile] `yaml:"codes"`
	Fold   bool                            `yaml:"fold"`
	Other  text                            `yaml:"other"`
	Rules  []ruleFile                      `yaml:"rules"`
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
	Node *strictyaml.Node
}

// volatileFile is a path, or a path with when it counts.
type volatileFile struct {
	Path text `yaml:"path"`
	When text `yaml:"when"`
}

// fieldFile is a source or a list of sources.
type fieldFile = strictyaml.OneOrMore[sourceFile]

// sourceFile is a path, or a mapping that says more.
type sourceFile struct {
	normalize.SourceSpec
	normalize.EachSpec
	Sum   strictyaml.OneOrMore[string] `yaml:"sum"`
	Scale number                       `yaml:"scale"`
}

// What has a place of its own, for faults that are found later.
type (
	text     = strictyaml.At[string]
	duration = strictyaml.At[time.Duration]
	number   = strictyaml.At[float64]
	whole    = strictyaml.At[int]
	boolean  = strictyaml.At[bool]
)

// either decodes a mapping, or the short form that stands for one.
func either(n *strictyaml.Node, mapping, short any) strictyaml.Faults {
	if n.Kind() == strictyaml.Map {
		return n.Decode(mapping)
	}
	return n.Decode(short)
}

func (f *idFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain idFile // without this method, or Decode would come back here
	f.Node = n
	return either(n, (*plain)(f), &f.Path)
}

func (m *memberFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain memberFile
	faults := either(n, (*plain)(m), &m.text)
	if n.Kind() == strictyaml.Map && m.Number.Node == nil {
		faults = append(faults, n.Fault("want a text, {param}, or {number: param} for a number"))
	}
	return faults
}

func (w *wordsFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	if n.Kind() != strictyaml.Map {
		return n.Decode((*strictyaml.OneOrMore[text])(w))
	}
	for _, pair := range n.Map() {
		*w = append(*w, text{Value: pair.Key, Node: pair.KeyNode})
	}
	return nil
}

func (o *outcomeFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain outcomeFile
	o.Node = n
	return either(n, (*plain)(o), &o.Status)
}

func (v *volatileFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain volatileFile
	faults := either(n, (*plain)(v), &v.Path)
	if v.Path.Node == nil {
		v.Path.Node = n
	}
	return faults
}

func (s *sourceFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain sourceFile
	faults := either(n, (*plain)(s), &s.SourceSpec.Path)
	s.Position, s.SourceSpec.Sum = position(n), s.Sum
	if at := s.Scale.Node; at != nil && !at.Broken() {
		s.SourceSpec.Scale = at.Scalar() // as it is written, for it is reckoned with exactly
	}
	if n.Get("each") != nil {
		each := s.EachSpec
		s.Each = &each
		return faults
	}
	for _, key := range []string{"id", "name", "arguments"} {
		if at := n.Get(key); at != nil {
			faults = append(faults, at.Fault("goes with each only"))
		}
	}
	return faults
}

// position is where n stands, for faults that package normalize finds.
func position(n *strictyaml.Node) normalize.Position {
	if n == nil {
		return normalize.Position{}
	}
	return normalize.Position{Line: n.Line(), Column: n.Column(), Key: n.Path()}
}
