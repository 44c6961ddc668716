package providers

import (
	"net/http"
	"slices"

	"pollux/normalize"
)

// CodeMeaning is what an answer with an HTTP code is, before its body is
// looked at.
type CodeMeaning struct {
	Code     int
	Document bool
	Status   normalize.Status // of a document whose code alone decides; else ""
	Kind     Kind             // of what is no document, unless the file's rules say otherwise
}

// Codes lists the codes of documents and the usual others, ascending.
func (p *Provider) Codes() []CodeMeaning {
	codes := slices.Concat(p.Poll.Documents, []int{
		http.StatusOK, http.StatusAccepted, http.StatusSeeOther, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusNotFound, http.StatusRequestTimeout, http.StatusGone, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError,
	})
	slices.Sort(codes)
	var all []CodeMeaning
	for _, code := range slices.Compact(codes) {
		m := CodeMeaning{Code: code, Document: p.IsDocument(code)}
		if m.Document {
			m.Status = p.Mapping.StatusOf(code)
		} else {
			m.Kind = p.usual(code, []byte("{}"))
		}
		all = append(all, m)
	}
	return all
}
