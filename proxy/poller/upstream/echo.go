package upstream

import (
	"net/url"
	"strings"

	"pollux/providers"
)

// tellingLength is how long a text must be to be taken for a credential, or
// for a part of one: shorter ones occur in words by chance.
const tellingLength = 6

// Reveals reports whether text, a word of an upstream's answer, tells a
// credential or a part of it: some upstreams echo what they refuse.
func Reveals(c providers.Credential, text string) bool {
	for _, f := range c.Headers {
		if echoes(text, f.Value) || echoes(text, afterScheme(f.Value)) {
			return true
		}
	}
	for _, f := range c.Query {
		plain, err := url.QueryUnescape(f.Value)
		if echoes(text, f.Value) || err == nil && echoes(text, plain) {
			return true
		}
	}
	return false
}

// afterScheme is what a header's value has after its scheme, "" if it has none.
func afterScheme(value string) string {
	_, token, _ := strings.Cut(value, " ")
	return token
}

// echoes reports whether text and secret are in one another.
func echoes(text, secret string) bool {
	return len(secret) >= tellingLength && strings.Contains(text, secret) ||
		len(text) >= tellingLength && strings.Contains(secret, text)
}
