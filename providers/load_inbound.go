package providers

import (
	"encoding/base64"
	"encoding/hex"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
)

func (l *loader) inbound() {
	f := l.file.Inbound
	if f == nil {
		return
	}
	i := &Inbound{}
	if f.ID.Node == nil {
		l.fault(nil, "inbound.id", "is missing: the GJSON path of the task's id in a message")
	} else {
		i.id = l.idSource(&f.ID, true)
	}
	if t := f.Types; t != nil {
		l.path(t.Path)
		if i.types = t.Path.Value; t.Path.Node == nil {
			l.fault(nil, "inbound.types.path", "is missing: the GJSON path of the message's type")
		}
		if len(t.Words) == 0 {
			l.fault(nil, "inbound.types.words", "is missing: the types of messages that tell about a task")
		}
		for _, word := range t.Words {
			i.words = append(i.words, word.Value)
		}
	}
	i.verify = l.verifier(&f.Verify)
	if e := f.Verify.Ed25519; e != nil {
		i.JWKS = e.JWKS.Value
	}
	l.p.Inbound = i
}

func (l *loader) verifier(f *verifyFile) verifier {
	forms := 0
	for _, named := range []bool{f.scheme.Node != nil, f.HMAC.Node != nil, f.Ed25519 != nil, f.Token != nil} {
		if named {
			forms++
		}
	}
	switch {
	case forms != 1:
		l.fault(f.Node, "inbound.verify", "want standard-webhooks, {hmac: sha256, header, signed}, {ed25519: {jwks, header, signed}} or {token: {header: name}}")
	case f.HMAC.Node != nil:
		return l.hmac(f)
	case f.Ed25519 != nil:
		return l.ed25519(f)
	case f.Token != nil:
		return l.token(f)
	case f.scheme.Value == "standard-webhooks":
		return verifier{
			standard: true, newHash: hashes["sha256"], header: "Webhook-Signature", prefix: "v1,",
			decode: base64.StdEncoding.DecodeString, encode: base64.StdEncoding.EncodeToString,
			signed:    []piece{{pieceHeader, "Webhook-Id"}, {pieceText, "."}, {kind: pieceTimestamp}, {pieceText, "."}, {kind: pieceBody}},
			timestamp: "Webhook-Timestamp", tolerance: defaultTolerance,
		}
	default:
		l.fault(f.scheme.Node, "", "want standard-webhooks, or a mapping with hmac, ed25519 or token")
	}
	return verifier{}
}

func (l *loader) hmac(f *verifyFile) verifier {
	v := l.signature("inbound.verify", f.Header, f.Prefix, f.Encoding, f.Signed, f.Timestamp)
	if v.newHash = hashes[f.HMAC.Value]; v.newHash == nil {
		l.fault(f.HMAC.Node, "", "want sha256, sha512 or sha1")
	}
	return v
}

func (l *loader) ed25519(f *verifyFile) verifier {
	e := f.Ed25519
	if e.Timestamp == nil {
		e.Timestamp = f.Timestamp
	}
	if f.Header.Node != nil || len(f.Signed) > 0 || f.Prefix.Node != nil || f.Encoding.Node != nil {
		l.fault(f.Node, "inbound.verify", "wants header, prefix, encoding and signed inside ed25519")
	}
	if u, err := url.Parse(e.JWKS.Value); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		l.fault(e.JWKS.Node, "inbound.verify.ed25519.jwks", "want the URL of a JSON Web Key Set")
	}
	return l.signature("inbound.verify.ed25519", e.Header, e.Prefix, e.Encoding, e.Signed, e.Timestamp)
}

func (l *loader) token(f *verifyFile) verifier {
	v := verifier{token: true, header: textproto.CanonicalMIMEHeaderKey(f.Token.Header.Value), query: f.Token.Query.Value, prefix: f.Prefix.Value}
	switch {
	case (f.Token.Header.Node == nil) == (f.Token.Query.Node == nil):
		l.fault(f.Node.Get("token"), "inbound.verify.token", "want the header or the query parameter that carries the secret")
	case f.Token.Header.Node != nil && !isToken(f.Token.Header.Value):
		l.fault(f.Token.Header.Node, "", "want the name of a request header")
	case f.Token.Query.Node != nil && !isName(f.Token.Query.Value):
		l.fault(f.Token.Query.Node, "", "want the name of a query parameter")
	}
	if f.Header.Node != nil || len(f.Signed) > 0 || f.Timestamp != nil || f.Encoding.Node != nil {
		l.fault(f.Node, "inbound.verify", "wants nothing beside token: what is not signed has no signature and no time")
	}
	return v
}

// signature checks what HMAC and Ed25519 have in common.
func (l *loader) signature(key string, header, prefix, encoding text, signed []text, timestamp *timestampFile) verifier {
	v := verifier{header: textproto.CanonicalMIMEHeaderKey(header.Value), prefix: prefix.Value}
	if !isToken(header.Value) {
		l.fault(header.Node, key+".header", "want the name of the request header with the signature")
	}
	switch encoding.Value {
	case "", "hex":
		v.decode, v.encode = hex.DecodeString, hex.EncodeToString
	case "base64":
		v.decode, v.encode = decodeBase64, base64.StdEncoding.EncodeToString
	default:
		l.fault(encoding.Node, "", "want hex or base64")
	}
	if timestamp != nil {
		v.timestamp, v.tolerance = textproto.CanonicalMIMEHeaderKey(timestamp.Header.Value), defaultTolerance
		if !isToken(timestamp.Header.Value) {
			l.fault(timestamp.Header.Node, key+".timestamp.header", "want the name of the request header with the time")
		}
		if t := timestamp.Tolerance; t.Node != nil {
			if v.tolerance = t.Value; t.Value <= 0 {
				l.fault(t.Node, "", "want a positive duration")
			}
		}
	}
	covered, dated := false, timestamp == nil
	for _, t := range signed {
		v.signed = append(v.signed, l.pieces(t, v.timestamp != "")...)
	}
	for _, p := range v.signed {
		covered = covered || p.kind == pieceBody || p.kind == pieceBodyHash
		dated = dated || p.kind == pieceTimestamp || p.kind == pieceHeader && p.text == v.timestamp
	}
	if len(signed) == 0 {
		v.signed, covered = []piece{{kind: pieceBody}}, true
	}
	if !covered {
		l.fault(signed[0].Node, key+".signed", "wants {body} or {body:sha256} among what is signed: else anybody could say anything")
	}
	if !dated {
		l.fault(timestamp.Header.Node, key+".timestamp", "wants {timestamp} among what is signed: else an old message could be sent with a new time")
	}
	return v
}

// placeholders are what stands for something in a part of what is signed.
var placeholders = regexp.MustCompile(`\{[^{}]*\}`)

// pieces reads one part of what is signed: text with {body}, {body:sha256},
// {timestamp} and {header:Name} in it.
func (l *loader) pieces(t text, timed bool) (all []piece) {
	from := 0
	literal := func(s string) {
		switch {
		case strings.ContainsAny(s, "{}"):
			l.fault(t.Node, "", "has a brace that stands for nothing")
		case strings.HasSuffix(s, "$") && len(s) < len(t.Value)-from:
			l.fault(t.Node, "", "want {body} and the like without a dollar sign")
		}
		if s != "" {
			all = append(all, piece{pieceText, s})
		}
	}
	for _, at := range placeholders.FindAllStringIndex(t.Value, -1) {
		literal(t.Value[from:at[0]])
		all = append(all, l.piece(t, t.Value[at[0]+1:at[1]-1], timed))
		from = at[1]
	}
	literal(t.Value[from:])
	return all
}

func (l *loader) piece(t text, name string, timed bool) piece {
	header, isHeader := strings.CutPrefix(name, "header:")
	switch {
	case name == "body":
		return piece{kind: pieceBody}
	case name == "body:sha256":
		return piece{kind: pieceBodyHash}
	case name == "timestamp" && !timed:
		l.fault(t.Node, "", "wants timestamp: {header: ...} beside signed")
	case name == "timestamp":
	case isHeader && isToken(header):
		return piece{pieceHeader, textproto.CanonicalMIMEHeaderKey(header)}
	default:
		l.fault(t.Node, "", "want {body}, {body:sha256}, {timestamp}, {header:Name} and plain text")
	}
	return piece{kind: pieceTimestamp}
}

// decodeBase64 reads both alphabets, with or without padding.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}
