package providers

import (
	"fmt"
	"log/slog"
	"net/textproto"
	"slices"
	"strings"

	"pollux/providers/format"
	"pollux/providers/template"
)

const redacted = "[redacted]"

// Credential is what a caller sent (or Pollux holds) to be let in, as it is
// forwarded. However it is printed, logged or marshalled, it only says
// "[redacted]".
type Credential struct {
	Headers []Field // identity headers present, in the order of Identity.Headers
	Query   []Field // identity query parameters present, their values still percent-encoded as sent
	Select  []Field // headers of Identity.Select present: no secret, and no part of the credential itself
}

// Field is one name and value; the value is never printed.
type Field struct{ Name, Value string }

// Zero reports whether nothing was sent that names the caller.
func (c Credential) Zero() bool { return len(c.Headers) == 0 && len(c.Query) == 0 }

// Equal reports whether c and d let in the same: what they select does not count.
func (c Credential) Equal(d Credential) bool {
	return slices.Equal(c.Headers, d.Headers) && slices.Equal(c.Query, d.Query)
}

// HeldCredential returns the credential that a bare key held by Pollux makes:
// in the provider's first identity header, after its scheme, or in its first
// identity query parameter when it has no header. It is zero if value is.
func (p *Provider) HeldCredential(value string) Credential {
	switch id := p.Identity; {
	case value == "":
		return Credential{}
	case len(id.Headers) > 0 && id.Scheme != "":
		return Credential{Headers: []Field{{id.Headers[0], id.Scheme + " " + value}}}
	case len(id.Headers) > 0:
		return Credential{Headers: []Field{{id.Headers[0], value}}}
	case len(id.Query) > 0:
		return Credential{Query: []Field{{id.Query[0], string(template.AppendQueryValue(nil, value))}}}
	}
	return Credential{}
}

// HeldFault says why a credential that Pollux holds cannot be sent as it is,
// "" if it can. names are the headers of one with several values, empty for a
// bare key.
func (p *Provider) HeldFault(names []string) string {
	id := p.Identity
	switch {
	case len(id.Headers)+len(id.Query) == 0:
		return "provider " + p.Name + " has no place for a credential: its identity lists no header"
	case len(names) == 0 && id.Need == format.NeedAll && len(id.Headers)+len(id.Query) > 1:
		return "provider " + p.Name + " needs all of " + strings.Join(slices.Concat(id.Headers, id.Query), ", ") + ": give each under headers"
	}
	missing := slices.Clone(id.Headers)
	for _, name := range names {
		if name = textproto.CanonicalMIMEHeaderKey(name); !slices.Contains(id.Headers, name) {
			return "provider " + p.Name + " has no place for " + name + ": its identity lists " + strings.Join(id.Headers, ", ")
		}
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
	}
	if len(names) > 0 && id.Need == format.NeedAll && len(missing) > 0 {
		return "provider " + p.Name + " needs all of " + strings.Join(id.Headers, ", ") + ", and " + strings.Join(missing, ", ") + " is missing"
	}
	return ""
}

// String, Format, LogValue and MarshalText hide the credential from package
// fmt (every verb), log/slog and the encoders.
func (c Credential) String() string                 { return redacted }
func (c Credential) Format(s fmt.State, _ rune)     { s.Write([]byte(redacted)) }
func (c Credential) LogValue() slog.Value           { return slog.StringValue(redacted) }
func (c Credential) MarshalText() ([]byte, error)   { return []byte(redacted), nil }
func (f Field) String() string                      { return f.Name + "=" + redacted }
func (f Field) Format(s fmt.State, _ rune)          { s.Write([]byte(f.String())) }
func (f Field) LogValue() slog.Value                { return slog.StringValue(f.String()) }
func (f Field) MarshalText() (text []byte, _ error) { return []byte(f.String()), nil }

// Visible reports whether s is visible ASCII characters, so that it can travel in a
// header as it is; "" is not.
func Visible(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
