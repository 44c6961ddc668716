package format

import (
	"time"

	"pollux/normalize"
	"pollux/providers/sandbox/script"
	"pollux/providers/signatures"
	"pollux/providers/strictyaml"
)

// written is a provider file as it is written, decoded and not yet
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
	path, header, match text
	Node                *strictyaml.Node
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
type volatileFile struct{ path, when text }

// fieldFile is a source or a list of sources.
type fieldFile struct{ sources []normalize.SourceSpec }

// What has a place of its own, for faults that are found later.
type (
	text     = strictyaml.At[string]
	duration = strictyaml.At[time.Duration]
	number   = strictyaml.At[float64]
	whole    = strictyaml.At[int]
	boolean  = strictyaml.At[bool]
)

func (f *idFile) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	f.Node = n
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
	if m.number = mapping.Number; m.number.Node == nil {
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
	o.Node = n
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
	if v.path, v.when = mapping.Path, mapping.When; v.path.Node == nil {
		v.path.Node = n
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
		Path      string                       `yaml:"path"`
		Param     string                       `yaml:"param"`
		Result    string                       `yaml:"result"`
		Sum       strictyaml.OneOrMore[string] `yaml:"sum"`
		Scale     number                       `yaml:"scale"`
		When      string                       `yaml:"when"`
		Match     string                       `yaml:"match"`
		NotEmpty  bool                         `yaml:"not_empty"`
		Time      string                       `yaml:"time"`
		Join      *string                      `yaml:"join"`
		Each      string                       `yaml:"each"`
		ID        string                       `yaml:"id"`
		Name      string                       `yaml:"name"`
		Arguments string                       `yaml:"arguments"`
	}
	faults := n.Decode(&mapping)
	spec.Path, spec.Param, spec.When, spec.Match = mapping.Path, mapping.Param, mapping.When, mapping.Match
	spec.NotEmpty, spec.Time, spec.Join = mapping.NotEmpty, mapping.Time, mapping.Join
	spec.Result, spec.Sum = mapping.Result, mapping.Sum
	if mapping.Scale.Node != nil && !mapping.Scale.Node.Broken() {
		spec.Scale = mapping.Scale.Node.Scalar() // as it is written, for it is reckoned with exactly
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
