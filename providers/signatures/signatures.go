// Package signatures verifies the messages that vendors send: HMACs, Ed25519,
// Standard Webhooks, and secrets that are sent as they are. Its rules are
// inbound.verify of a provider file.
package signatures

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scheme is one way of signing. It is immutable and safe for concurrent use.
type Scheme struct {
	// JWKS is where the vendor publishes the keys that it signs with, "" if
	// it signs with a secret.
	JWKS      string
	token     bool                         // the secret itself is sent
	newHash   func() hash.Hash             // of an HMAC; nil: Ed25519, or a token
	standard  bool                         // Standard Webhooks 1.0
	header    string                       // of the signature or token
	query     string                       // of the token
	prefix    string                       // before each signature
	decode    func(string) ([]byte, error) // of a signature
	encode    func([]byte) string
	signed    []piece
	timestamp string        // header
	tolerance time.Duration // 0: not checked
}

// piece is one part of what is signed.
type piece struct {
	kind pieceKind
	text string // the literal, or the header's name
}

type pieceKind uint8

const (
	pieceText pieceKind = iota
	pieceBody
	pieceBodyHash // SHA-256 of the body, in lower-case hexadecimal
	pieceTimestamp
	pieceHeader
)

// defaultTolerance is how far a message's time may be from ours, as Standard
// Webhooks recommends.
const defaultTolerance = 5 * time.Minute

// hashes are the words of verify.hmac.
var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// standardWebhooks is version 1.0 of the specification.
var standardWebhooks = Scheme{
	standard: true, newHash: sha256.New, header: "Webhook-Signature", prefix: "v1,",
	decode: base64.StdEncoding.DecodeString, encode: base64.StdEncoding.EncodeToString,
	signed:    []piece{{pieceHeader, "Webhook-Id"}, {pieceText, "."}, {kind: pieceTimestamp}, {pieceText, "."}, {kind: pieceBody}},
	timestamp: "Webhook-Timestamp", tolerance: defaultTolerance,
}

// Sender is what is known of who signs: the secret that the upstream's config
// holds, or the keys that were fetched from Scheme.JWKS.
type Sender struct {
	Secret string
	Keys   []ed25519.PublicKey
}

// Usable reports whether messages can be verified with such a secret.
func (s *Scheme) Usable(secret string) bool { return len(s.key(secret)) > 0 }

// key is what a secret signs with, empty if it cannot.
func (s *Scheme) key(secret string) []byte {
	if !s.standard {
		return []byte(secret)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return nil
	}
	return key
}

// Sign makes a message with that body acceptable to Verify: it adds to h, and
// returns what the query of the URL needs. It is what simulations and tests
// sign with. ok is false where the vendor signs with a key of its own.
func (s *Scheme) Sign(h http.Header, body []byte, secret string, now time.Time) (query url.Values, ok bool) {
	switch {
	case s.token && s.query != "":
		return url.Values{s.query: {s.prefix + secret}}, true
	case s.token:
		h.Set(s.header, s.prefix+secret)
		return nil, true
	case s.newHash == nil:
		return nil, false
	}
	if s.standard {
		h.Set("Webhook-Id", "msg_"+strconv.FormatInt(now.UnixNano(), 36))
	}
	if s.timestamp != "" {
		h.Set(s.timestamp, strconv.FormatInt(now.Unix(), 10))
	}
	h.Set(s.header, s.prefix+s.encode(s.mac(secret, s.message(h, body))))
	return nil, true
}

func (s *Scheme) mac(secret string, message []byte) []byte {
	mac := hmac.New(s.newHash, s.key(secret))
	mac.Write(message)
	return mac.Sum(nil)
}

// Verify reports whether a message that arrived now is from that sender. query
// is of its URL. It compares in constant time; of several signatures, as while
// a key is being rotated, one must hold.
func (s *Scheme) Verify(h http.Header, query url.Values, body []byte, from Sender, now time.Time) bool {
	if s.token {
		sent := h.Get(s.header)
		if s.query != "" {
			sent = query.Get(s.query)
		}
		sent, prefixed := strings.CutPrefix(sent, s.prefix)
		return prefixed && from.Secret != "" && subtle.ConstantTimeCompare([]byte(sent), []byte(from.Secret)) == 1
	}
	if s.tolerance > 0 && !s.timely(h.Get(s.timestamp), now) {
		return false
	}
	message := s.message(h, body)
	holds := func(signature []byte) bool {
		return slices.ContainsFunc(from.Keys, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, message, signature) })
	}
	if s.newHash != nil {
		if !s.Usable(from.Secret) {
			return false
		}
		want := s.mac(from.Secret, message)
		holds = func(signature []byte) bool { return hmac.Equal(want, signature) }
	}
	accepted := false
	for _, text := range s.signatures(h) {
		signature, err := s.decode(text)
		accepted = err == nil && holds(signature) || accepted
	}
	return accepted
}

// signatures are those in the header: separated by blanks or commas, of which
// the ones without the prefix are of another kind.
func (s *Scheme) signatures(h http.Header) (all []string) {
	separators := " "
	if !s.standard && !strings.Contains(s.prefix, ",") {
		separators = " ,"
	}
	for _, text := range strings.FieldsFunc(h.Get(s.header), func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if signature, ok := strings.CutPrefix(text, s.prefix); ok {
			all = append(all, signature)
		}
	}
	return all
}

// timely reports whether a message's time, in seconds or milliseconds or as in
// RFC 3339, is near now.
func (s *Scheme) timely(sent string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, sent)
	if seconds, bad := strconv.ParseInt(sent, 10, 64); bad == nil {
		if at, err = time.Unix(seconds, 0), nil; seconds > 1e11 {
			at = time.UnixMilli(seconds)
		}
	}
	return err == nil && now.Sub(at).Abs() <= s.tolerance
}

// message is what is signed.
func (s *Scheme) message(h http.Header, body []byte) []byte {
	var b []byte
	for _, p := range s.signed {
		switch p.kind {
		case pieceText:
			b = append(b, p.text...)
		case pieceBody:
			b = append(b, body...)
		case pieceBodyHash:
			sum := sha256.Sum256(body)
			b = hex.AppendEncode(b, sum[:])
		case pieceTimestamp:
			b = append(b, h.Get(s.timestamp)...)
		case pieceHeader:
			b = append(b, h.Get(p.text)...)
		}
	}
	return b
}

// MessageID is the sender's own id of a message where the scheme has one, else
// a hash of what was signed: whoever sends a message again sends the same.
func (s *Scheme) MessageID(h http.Header, body []byte) string {
	if s.standard {
		return h.Get("Webhook-Id")
	}
	message := body
	if !s.token {
		message = s.message(h, body)
	}
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:])
}

// ParseJWKS returns the Ed25519 keys of a JSON Web Key Set (RFC 8037); keys of
// other kinds are left out.
func ParseJWKS(data []byte) ([]ed25519.PublicKey, error) {
	var set struct {
		Keys []struct{ Kty, Crv, X string }
	}
	if json.Unmarshal(data, &set) != nil {
		return nil, errors.New("the key set is not a JSON Web Key Set")
	}
	var keys []ed25519.PublicKey
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.X, "="))
		if k.Kty == "OKP" && k.Crv == "Ed25519" && err == nil && len(x) == ed25519.PublicKeySize {
			keys = append(keys, x)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no Ed25519 key")
	}
	return keys, nil
}
