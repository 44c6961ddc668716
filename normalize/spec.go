package normalize

import "time"

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

// Spec is the mapping part of a provider file, decoded and not yet checked. Its
// tags are names there.
type Spec struct {
	Status    StatusSpec
	Documents []int       // HTTP codes whose answers are mapped; empty means 200 alone
	Fields    []FieldSpec // in file order
	Volatile  []VolatileSpec
	Settled   ExprSpec // settle.until; zero if the provider does not settle
	Result    ResultSpec
	Expires   ExpiresSpec
	Params    []string // names that a source's Param may use
}

// ResultSpec says when a task's result is a request of its own, and what of
// the document its answer fills as a whole. The zero value: it never is.
type ResultSpec struct {
	When ExprSpec
	Into string // "output.data", "output.text" or ""; text always becomes output.text, structure output.data
	Position
}

// ExpiresSpec says how long what a terminal answer holds can be used: After
// from its completed_at, or until the time At. The zero value: for ever.
type ExpiresSpec struct {
	After time.Duration
	At    []SourceSpec // the first that is a time
	Position
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
//
// The native word is the scalar at the one path, a number or boolean as its
// JSON text; with several paths it is their words joined by blanks, "-" for
// one that is absent, null or empty. A single absent one is "" if Words lists
// that, and several absent ones are a word only if Words lists it.
type StatusSpec struct {
	Paths   []PathSpec // may be empty where Codes has every document's code
	Prefix  string     // optional in a native word
	Words   []WordSpec
	Codes   []CodeSpec // decide before any word is looked at
	Fold    bool       // words are compared without case
	Other   Status     // what an unlisted word means, "" for Unknown; never terminal
	OtherAt Position
	Rules   []RuleSpec // first match wins; its Set overrides what the word or code said
}

// CodeSpec is what an HTTP code means.
type CodeSpec struct {
	Code int
	OutcomeSpec
	Position
}

// OutcomeSpec is what a word or a rule sets. RequiredAction shows only with
// requires_action, StatusReason only with incomplete.
type OutcomeSpec struct {
	Status          Status `yaml:"status"` // "" in a rule keeps what the word said
	CancelRequested bool   `yaml:"cancel_requested"`
	RequiredAction  string `yaml:"required_action"` // type of the required action; "" means tool_calls if there are any, else "action"
	StatusReason    string `yaml:"status_reason"`   // GJSON path of the reason; "" means none
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

// SourceSpec is one place that a value may come from: Path, Param, Result or Sum.
type SourceSpec struct {
	Path     string   `yaml:"path"`
	Param    string   `yaml:"param"`
	Result   string   `yaml:"result"` // a path into the answer to the result's own request
	Sum      []string // paths of numbers; one that is absent counts as 0, all absent are absent
	Scale    string   // a decimal number that the value is multiplied by, exactly; "" means 1
	When     string   `yaml:"when"`      // expr; "" means always
	Match    string   `yaml:"match"`     // regular expression on a string; its first group is the value, a number if it reads as one
	NotEmpty bool     `yaml:"not_empty"` // an empty string counts as absent
	Time     string   `yaml:"time"`      // for times and metadata, see parseTime; "" means rfc3339 for times
	// Join goes between the elements of a list for output.text. Nil means
	// nothing in a list of strings (the parts of one message), and a blank line
	// in a list that holds lists (messages, whose parts are joined by nothing).
	Join *string   `yaml:"join"`
	Each *EachSpec // only for required_action.tool_calls
	Position
}

// EachSpec maps the elements of an array onto tool calls; the paths but the
// first are relative to one element.
type EachSpec struct {
	Path      string `yaml:"each"`
	ID        string `yaml:"id"`
	Name      string `yaml:"name"`
	Arguments string `yaml:"arguments"`
}

// Native is an upstream's answer to a status poll, and what was asked. Body
// must have passed CheckAnswer, or be empty where the code alone decides: then
// every path is absent.
type Native struct {
	HTTPStatus int
	Body       []byte
	Text       string // Body, where there is one already; "" is made of Body
	Param      func(name string) (value string, ok bool)
	Result     *NativeResult // nil: not asked for
}

func (n *Native) document() *document {
	if n.Text == "" {
		return newDocument(n.Body)
	}
	return &document{text: n.Text, body: n.Body}
}

// NativeResult is the answer to the request for a task's result.
type NativeResult struct {
	Body   []byte // JSON that CheckValue accepts, or text
	Failed *Error // not nil: the result is that the task failed, whatever its status says
}
