package format

import (
	"errors"
	"net/url"
	"strings"

	"pollux/providers/template"
)

// ParseBaseURL reads the URL that paths are relative to, an upstream's or
// Pollux's own: an absolute http or https URL, with a path prefix at most. Its
// errors never hold the text.
func ParseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("want an absolute http or https URL")
	case u.User != nil:
		return nil, errors.New("want a URL without user-info")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("want a URL without query and fragment")
	case template.HasDotSegment([]byte(u.Path)):
		return nil, errors.New("want a URL without dot segments")
	}
	return u, nil
}
