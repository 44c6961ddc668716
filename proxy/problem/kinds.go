package problem

// PagePath is below which the problem types are explained, one page each.
const PagePath = "/problems/"

// Kind is one row of the table of problems. A problem type of RFC 9457
// has one title; the code may vary where the upstream chooses it.
type Kind struct {
	Type  Type
	Code  int // 0: the upstream's
	Title string
	About string // what the page under /problems/ says
}

// Kinds is every problem type of ours. What is not listed, plain HTTP
// errors, is about:blank with the title of its code.
var Kinds = []Kind{
	{InvalidRequest, 400, "The request is malformed",
		"A task reference, a parameter, a header or the body is missing, malformed, sent twice or not known. The detail says what is wrong. Repeating the request unchanged cannot succeed."},
	{UpstreamRejected, 0, "The upstream refuses the request",
		"The upstream understood the status request and refused it. The status code is the upstream's own."},
	{Unauthorized, 401, "No accepted credential",
		"The credential that the upstream wants, or the key that Pollux wants, was not sent or was refused; or a message of an upstream is not signed as it should be."},
	{Forbidden, 403, "Not allowed",
		"The credential is known, but it may not see this task or do this."},
	{UnknownUpstream, 404, "No such upstream",
		"The first segment after /v1/tasks/, /native/ or /inbound/ names no upstream of this Pollux, or one that takes no messages."},
	{TaskNotFound, 404, "No such task",
		"The upstream says that it has no such task, or none that this credential may see."},
	{TaskGone, 410, "The task is gone",
		"The upstream knew this task and has lost it, and no final answer is stored."},
	{RateLimited, 429, "Too many requests",
		"A rate limit, of the upstream or of Pollux, leaves no room, and nothing is stored that could be served instead. Retry-After says when to ask again."},
	{UpstreamError, 502, "The upstream answers badly",
		"The upstream failed, or its answer cannot be understood, is too large or belongs to another task."},
	{UpstreamUnavailable, 503, "The upstream is left alone",
		"The upstream failed repeatedly and is not asked for a while. Retry-After says when to ask again."},
	{Overloaded, 503, "Too busy",
		"Pollux has no capacity left for this request, or is shutting down. Retry-After says when to ask again."},
	{UpstreamTimeout, 504, "The upstream is too slow",
		"The upstream did not answer in time. The task itself is not affected."},
	{NotCached, 504, "Nothing is stored",
		"The request allowed stored answers only, and there is none."},
}

// KindOf returns the row of a type, nil if it has none.
func KindOf(t Type) *Kind {
	for i := range Kinds {
		if Kinds[i].Type == t {
			return &Kinds[i]
		}
	}
	return nil
}
