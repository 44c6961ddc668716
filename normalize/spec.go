package normalize

// Position says where in a provider file something was written, for faults.
type Position struct {
	Line, Column int
	Key          string // dotted, as in "status.rules[2].when"
}

// Fault is one thing wrong with a Spec.
type Fault struct {
	Position
	Message string // lower case, no full stop
}

// Spec is the mapping part of a provider file, decoded and not yet checked.
type Spec struct {
	Status   StatusSpec
	Fields   []FieldSpec // in file order
	Volatile []PathSpec  // upstream fields whose change is no change
	Settled  ExprSpec    // settle.until; zero if the provider does not settle
	Params   []string    // names that a source's Param may use
}

// PathSpec is a GJSON path and where it stands.
type PathSpec struct {
	Path string
	Position
}

// ExprSpec is an expr condition over word, status, terminal, http, json and
// kind/text/number/count(path), and where it stands.
type ExprSpec struct {
	Code string
	Position
}

// StatusSpec says how the canonical status follows from the native answer.
type StatusSpec struct {
	Path   PathSpec
	Prefix string // optional in the native word
	Words  []WordSpec
	Rules  []RuleSpec // first match wins; its Set overrides what the word said
}

// OutcomeSpec is what a word or a rule sets.
type OutcomeSpec struct {
	Status          Status // "" in a rule keeps what the word said
	CancelRequested bool
	RequiredAction  string // type of the required action; "" means none
	StatusReason    string // GJSON path of the reason; "" means none
}

// WordSpec is one native word.
type WordSpec struct {
	Word string
	OutcomeSpec
	Position
}

// RuleSpec refines the status that the word gave.
type RuleSpec struct {
	When ExprSpec
	Set  OutcomeSpec
	Position
}

// FieldSpec fills one member of the document from the first source that
// exists, is not null and has the member's type.
type FieldSpec struct {
	Name    string // dotted, as in "usage.input_tokens" or "metadata.thread"
	Sources []SourceSpec
	Position
}

// SourceSpec is one place that a value may come from: Path or Param.
type SourceSpec struct {
	Path     string
	Param    string
	When     string // expr; "" means always
	Match    string // regular expression whose first group is the value
	NotEmpty bool   // an empty string counts as absent
	Time     string // "unix", "unix_ms" or "rfc3339" for time members
	Join     *string
	Each     *EachSpec // only for required_action.tool_calls
	Position
}

// EachSpec maps the elements of an array onto tool calls; the paths are
// relative to one element.
type EachSpec struct{ Path, ID, Name, Arguments string }

// Native is an upstream's answer to a status poll, and what was asked. Body
// must have passed CheckBody.
type Native struct {
	HTTPStatus int
	Body       []byte
	Param      func(name string) (value string, ok bool)
}
