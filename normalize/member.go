package normalize

import (
	"strings"
	"time"
)

// memberType is what a member of the document may hold.
type memberType uint8

const (
	typeString  memberType = iota
	typeText               // a string, or a list of strings to be joined
	typeName               // an id or a code: a string, or a number taken as its digits
	typeCount              // a whole number, not negative
	typePercent            // a number from 0 to 100
	typeNumber             // any number
	typeTime               // see parseTime
	typeJSON               // anything but null
	typeList               // an array
	typeCalls              // an array mapped by EachSpec
)

var typeNames = [...]string{
	typeString: "a string", typeText: "a string or a list of strings", typeName: "a string or a number",
	typeCount: "a whole number", typePercent: "a number from 0 to 100", typeNumber: "a number",
	typeTime: "a time", typeJSON: "any JSON", typeList: "a list", typeCalls: "a list with elements",
}

// value is what a source gave; which field is set follows from the type.
type value struct {
	text   string
	number Number
	at     time.Time
	raw    Raw
	calls  []ToolCall
}

// appendJSON appends the value as the document shows it.
func (v value) appendJSON(dst []byte, t memberType) []byte {
	switch t {
	case typeCount, typePercent, typeNumber:
		return appendNumber(dst, v.number)
	case typeTime:
		return appendTime(dst, v.at)
	case typeJSON, typeList:
		return appendRaw(dst, v.raw)
	case typeCalls:
		return appendCalls(dst, v.calls)
	}
	return AppendString(dst, v.text)
}

// member is one member of the document that a provider file may fill.
type member struct {
	typ  memberType
	only func(Status) bool // nil: whatever the status
	set  func(*Task, value)
}

const metadataPrefix = "metadata."

func broken(s Status) bool  { return s == Failed || s == TimedOut }
func waiting(s Status) bool { return s == RequiresAction }

// members are those with fixed names. Task.Error is set while broken and
// Task.RequiredAction while waiting, before any of them is filled.
var members = map[string]member{
	"id":                         {typeName, nil, func(t *Task, v value) { t.ID = v.text }},
	"created_at":                 {typeTime, nil, func(t *Task, v value) { t.CreatedAt = v.at }},
	"started_at":                 {typeTime, nil, func(t *Task, v value) { t.StartedAt = v.at }},
	"completed_at":               {typeTime, nil, func(t *Task, v value) { t.CompletedAt = v.at }},
	"updated_at":                 {typeTime, nil, func(t *Task, v value) { t.UpdatedAt = v.at }},
	"progress.percent":           {typePercent, nil, func(t *Task, v value) { t.Progress.Percent = v.number }},
	"progress.stage":             {typeString, nil, func(t *Task, v value) { t.Progress.Stage = &v.text }},
	"progress.steps_completed":   {typeCount, nil, func(t *Task, v value) { t.Progress.StepsCompleted = v.number }},
	"progress.total_steps":       {typeCount, nil, func(t *Task, v value) { t.Progress.TotalSteps = v.number }},
	"output.text":                {typeText, nil, func(t *Task, v value) { t.Output.Text = &v.text }},
	"output.data":                {typeJSON, nil, func(t *Task, v value) { t.Output.Data = v.raw }},
	"output.messages":            {typeList, nil, func(t *Task, v value) { t.Output.Messages = v.raw }},
	"required_action.tool_calls": {typeCalls, waiting, func(t *Task, v value) { t.RequiredAction.ToolCalls = v.calls }},
	"error.code":                 {typeName, broken, func(t *Task, v value) { t.Error.Code = nonEmpty(v.text) }},
	"error.type":                 {typeString, broken, func(t *Task, v value) { t.Error.Type = v.text }},
	"error.message":              {typeString, broken, func(t *Task, v value) { t.Error.Message = v.text }},
	"usage.input_tokens":         {typeCount, nil, func(t *Task, v value) { t.Usage.InputTokens = v.number }},
	"usage.output_tokens":        {typeCount, nil, func(t *Task, v value) { t.Usage.OutputTokens = v.number }},
	"usage.total_tokens":         {typeCount, nil, func(t *Task, v value) { t.Usage.TotalTokens = v.number }},
	"usage.cost_usd":             {typeNumber, nil, func(t *Task, v value) { t.Usage.CostUSD = v.number }},
	"model":                      {typeString, nil, func(t *Task, v value) { t.Model = &v.text }},
}

// memberNamed returns the member that a provider file calls name.
func memberNamed(name string) (member, bool) {
	key, ok := strings.CutPrefix(name, metadataPrefix)
	if !ok {
		m, known := members[name]
		return m, known
	}
	return member{typeJSON, nil, func(t *Task, v value) {
		t.Metadata = append(t.Metadata, Member{key, v.raw})
	}}, key != ""
}

// Fallbacks for what the document promises and an upstream left out.
const (
	defaultErrorType    = "task_failed"
	defaultErrorMessage = "task failed"
	actionToolCalls     = "tool_calls"
	actionOther         = "action" // the file names no type and there are no calls
)

// complete fills in what must never be empty.
func (t *Task) complete() {
	if e := t.Error; e != nil {
		if e.Type == "" {
			e.Type = defaultErrorType
		}
		if strings.TrimSpace(e.Message) == "" {
			e.Message = defaultErrorMessage
		}
	}
	if a := t.RequiredAction; a != nil && a.Type == "" {
		a.Type = actionOther
		if len(a.ToolCalls) > 0 {
			a.Type = actionToolCalls
		}
	}
}
