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
	Volatile []VolatileSpec
	Settled  ExprSpec // settle.until; zero if the provider does not settle
	Params   []string // names that a source's Param may use
}

// PathSpec is a GJSON path and where it stands.
type PathSpec struct {
	Path string
	Position
}

// ExprSpec is an expr condition over word (without the prefix), status,
// terminal, http, json and kind/text/number/count(path), and where it stands.
// See CompileCondition.
type ExprSpec struct {
	Code string
	Position
}

// VolatileSpec is an upstream field whose change is no change, while When holds;
// always if When is zero. The path has members and indices only, no searches.
type VolatileSpec struct {
	PathSpec
	When ExprSpec
}

// StatusSpec says how the canonical status follows from the native answer.
type StatusSpec struct {
	Path   PathSpec
	Prefix string // optional in the native word
	Words  []WordSpec
	Rules  []RuleSpec // first match wins; its Set overrides what the word said
}

// OutcomeSpec is what a word or a rule sets. RequiredAction shows only with
// requires_action, StatusReason only with incomplete.
type OutcomeSpec struct {
	Status          Status // "" in a rule keeps what the word said
	CancelRequested bool
	RequiredAction  string // type of the required action; "" means tool_calls if there are any, else "action"
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
	When  ExprSpec
	Set   OutcomeSpec
	SetAt Position // of Set
	Position
}

// FieldSpec fills one member of the document from the first source that
// exists, is not null and has the member's type:
//
//   - id and error.code: a string, or a number, which stands for its digits
//   - progress.stage, model, error.type, error.message: a string
//   - output.text: a string, or a list of strings that a search gave or that
//     has a Join
//   - steps and tokens: a whole number, not negative; 12.0 is 12
//   - progress.percent: a number from 0 to 100, usage.cost_usd: any that a
//     float64 can hold, as they are written; booleans and strings are no numbers
//   - created_at, started_at, completed_at, updated_at: a time after 1970 and
//     before 10000
//   - output.messages: a list; output.data and metadata: any JSON
//   - required_action.tool_calls: a list with elements, by Each
//
// error members are filled only while failed or timed_out, tool calls only
// while requires_action. A member of metadata without a value is left out.
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
	Match    string // regular expression on a string; its first group is the value, a number if it reads as one
	NotEmpty bool   // an empty string counts as absent
	Time     string // "unix", "unix_ms" or "rfc3339" for times and metadata; "" means rfc3339 for times
	// Join goes between the elements of a list for output.text. Nil means
	// nothing in a list of strings (the parts of one message), and a blank line
	// in a list that holds lists (messages, whose parts are joined by nothing).
	Join *string
	Each *EachSpec // only for required_action.tool_calls
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
