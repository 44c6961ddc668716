package signatures

import (
	"encoding/base64"
	"encoding/hex"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"pollux/providers/strictyaml"
)

type text = strictyaml.At[string]

// Rules is inbound.verify of a provider file as it is written: the name of a
// scheme, or a mapping that describes one.
type Rules struct {
	scheme    text
	HMAC      text `yaml:"hmac"`
	signature      // an HMAC's
	Ed25519   *struct {
		JWKS text `yaml:"jwks"`
		signature
	} `yaml:"ed25519"`
	Token *struct {
		Header text `yaml:"header"`
		Query  text `yaml:"query"`
	} `yaml:"token"`
	node *strictyaml.Node
}

// signature is what an HMAC and Ed25519 have in common.
type signature struct {
	Header    text                       `yaml:"header"`
	Prefix    text                       `yaml:"prefix"`
	Encoding  text                       `yaml:"encoding"`
	Signed    strictyaml.OneOrMore[text] `yaml:"signed"`
	Timestamp *struct {
		Header    text                         `yaml:"header"`
		Tolerance strictyaml.At[time.Duration] `yaml:"tolerance"`
	} `yaml:"timestamp"`
}

// UnmarshalNode reads either form.
func (r *Rules) UnmarshalNode(n *strictyaml.Node) strictyaml.Faults {
	type plain Rules // without this method, or Decode would come back here
	r.node = n
	if n.Kind() != strictyaml.Map {
		return n.Decode(&r.scheme)
	}
	return n.Decode((*plain)(r))
}

// A Report takes a fault at a node, or about the absence of key if it is nil.
type Report func(n *strictyaml.Node, key, format string, args ...any)

// key is where the rules stand in a provider file.
const key = "inbound.verify"

// Scheme checks the rules and returns what they describe. It is unusable if
// there are faults.
func (r *Rules) Scheme(fault Report) Scheme {
	forms := 0
	for _, named := range []bool{r.scheme.Node != nil, r.HMAC.Node != nil, r.Ed25519 != nil, r.Token != nil} {
		if named {
			forms++
		}
	}
	switch {
	case forms != 1:
		fault(r.node, key, "want standard-webhooks, {hmac: sha256, header, signed}, {ed25519: {jwks, header, signed}} or {token: {header: name}}")
	case r.HMAC.Node != nil:
		return r.hmac(fault)
	case r.Ed25519 != nil:
		return r.ed25519(fault)
	case r.Token != nil:
		return r.token(fault)
	case r.scheme.Value == "standard-webhooks":
		return standardWebhooks
	default:
		fault(r.scheme.Node, "", "want standard-webhooks, or a mapping with hmac, ed25519 or token")
	}
	return Scheme{}
}

func (r *Rules) hmac(fault Report) Scheme {
	s := r.signature.scheme(key, fault)
	if s.newHash = hashes[r.HMAC.Value]; s.newHash == nil {
		fault(r.HMAC.Node, "", "want sha256, sha512 or sha1")
	}
	return s
}

func (r *Rules) ed25519(fault Report) Scheme {
	e := r.Ed25519
	if e.Timestamp == nil {
		e.Timestamp = r.Timestamp
	}
	if r.Header.Node != nil || len(r.Signed) > 0 || r.Prefix.Node != nil || r.Encoding.Node != nil {
		fault(r.node, key, "wants header, prefix, encoding and signed inside ed25519")
	}
	if u, err := url.Parse(e.JWKS.Value); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		fault(e.JWKS.Node, key+".ed25519.jwks", "want the URL of a JSON Web Key Set")
	}
	s := e.signature.scheme(key+".ed25519", fault)
	s.JWKS = e.JWKS.Value
	return s
}

func (r *Rules) token(fault Report) Scheme {
	header, query := r.Token.Header, r.Token.Query
	switch {
	case (header.Node == nil) == (query.Node == nil):
		fault(r.node.Get("token"), key+".token", "want the header or the query parameter that carries the secret")
	case header.Node != nil && !httpguts.ValidHeaderFieldName(header.Value):
		fault(header.Node, "", "want the name of a request header")
	case query.Node != nil && (query.Value == "" || url.QueryEscape(query.Value) != query.Value):
		fault(query.Node, "", "want the name of a query parameter")
	}
	if r.Header.Node != nil || len(r.Signed) > 0 || r.Timestamp != nil || r.Encoding.Node != nil {
		fault(r.node, key, "wants nothing beside token: what is not signed has no signature and no time")
	}
	return Scheme{token: true, header: textproto.CanonicalMIMEHeaderKey(header.Value), query: query.Value, prefix: r.Prefix.Value}
}

// scheme checks a signature's rules, which stand under key.
func (r *signature) scheme(key string, fault Report) Scheme {
	s := Scheme{header: textproto.CanonicalMIMEHeaderKey(r.Header.Value), prefix: r.Prefix.Value}
	if !httpguts.ValidHeaderFieldName(r.Header.Value) {
		fault(r.Header.Node, key+".header", "want the name of the request header with the signature")
	}
	switch r.Encoding.Value {
	case "", "hex":
		s.decode, s.encode = hex.DecodeString, hex.EncodeToString
	case "base64":
		s.decode, s.encode = decodeBase64, base64.StdEncoding.EncodeToString
	default:
		fault(r.Encoding.Node, "", "want hex or base64")
	}
	if r.Timestamp != nil {
		r.timestamp(&s, key, fault)
	}
	for _, t := range r.Signed {
		s.signed = append(s.signed, pieces(t, s.timestamp != "", fault)...)
	}
	if len(r.Signed) == 0 {
		s.signed = []piece{{kind: pieceBody}}
	}
	covered, dated := false, r.Timestamp == nil
	for _, p := range s.signed {
		covered = covered || p.kind == pieceBody || p.kind == pieceBodyHash
		dated = dated || p.kind == pieceTimestamp || p.kind == pieceHeader && p.text == s.timestamp
	}
	if !covered {
		fault(r.Signed[0].Node, key+".signed", "wants {body} or {body:sha256} among what is signed: else anybody could say anything")
	}
	if !dated {
		fault(r.Timestamp.Header.Node, key+".timestamp", "wants {timestamp} among what is signed: else an old message could be sent with a new time")
	}
	return s
}

func (r *signature) timestamp(s *Scheme, key string, fault Report) {
	t := r.Timestamp
	s.timestamp, s.tolerance = textproto.CanonicalMIMEHeaderKey(t.Header.Value), defaultTolerance
	if !httpguts.ValidHeaderFieldName(t.Header.Value) {
		fault(t.Header.Node, key+".timestamp.header", "want the name of the request header with the time")
	}
	if t.Tolerance.Node == nil {
		return
	}
	if s.tolerance = t.Tolerance.Value; s.tolerance <= 0 {
		fault(t.Tolerance.Node, "", "want a positive duration")
	}
}

// placeholders are what stands for something in a part of what is signed.
var placeholders = regexp.MustCompile(`\{[^{}]*\}`)

// pieces reads one part of what is signed: text with {body}, {body:sha256},
// {timestamp} and {header:Name} in it.
func pieces(t text, timed bool, fault Report) (all []piece) {
	from := 0
	literal := func(s string) {
		switch {
		case strings.ContainsAny(s, "{}"):
			fault(t.Node, "", "has a brace that stands for nothing")
		case strings.HasSuffix(s, "$") && len(s) < len(t.Value)-from:
			fault(t.Node, "", "want {body} and the like without a dollar sign")
		}
		if s != "" {
			all = append(all, piece{pieceText, s})
		}
	}
	for _, at := range placeholders.FindAllStringIndex(t.Value, -1) {
		literal(t.Value[from:at[0]])
		p, message := placeholder(t.Value[at[0]+1:at[1]-1], timed)
		if message != "" {
			fault(t.Node, "", "%s", message)
		}
		all = append(all, p)
		from = at[1]
	}
	literal(t.Value[from:])
	return all
}

// placeholder is what a name in braces stands for, or what is wrong with it.
func placeholder(name string, timed bool) (p piece, fault string) {
	header, isHeader := strings.CutPrefix(name, "header:")
	switch {
	case name == "body":
		return piece{kind: pieceBody}, ""
	case name == "body:sha256":
		return piece{kind: pieceBodyHash}, ""
	case name == "timestamp" && timed:
		return piece{kind: pieceTimestamp}, ""
	case name == "timestamp":
		return piece{kind: pieceTimestamp}, "wants timestamp: {header: ...} beside signed"
	case isHeader && httpguts.ValidHeaderFieldName(header):
		return piece{pieceHeader, textproto.CanonicalMIMEHeaderKey(header)}, ""
	}
	// Counts as dated, so that what is wrong is said once.
	return piece{kind: pieceTimestamp}, "want {body}, {body:sha256}, {timestamp}, {header:Name} and plain text"
}

// decodeBase64 reads both alphabets, with or without padding.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}
