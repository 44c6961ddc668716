package providers

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

	"github.com/tidwall/gjson"

	"pollux/normalize"
)

// Inbound is how an upstream's own messages (its webhooks) are verified and
// which task they are about. Nothing else in them is believed.
type Inbound struct {
	// JWKS is where the upstream publishes the keys that it signs with, "" if
	// it signs with the secret that the upstream's config holds.
	JWKS   string
	id     idSource
	types  string   // GJSON path of the message's type, "" if every message is about a task
	words  []string // types that are hints
	verify verifier
}

// Message is what a verified message says: that there may be news of a task.
type Message struct {
	// ID tells a message from another: one that comes again has the same.
	ID string
	// TaskID is the task's own id, the last value of its reference; "" if the
	// message is about no task, or of a type that is no hint.
	TaskID string
}

// MaxMessage is the largest body of a message, in bytes.
const MaxMessage = 1 << 20

// Errors of Receive. The first is the sender's: its message is refused.
var (
	ErrUnverified = errors.New("the message is not signed as the upstream signs")
	ErrUnreadable = errors.New("the message is no JSON object")
)

// Sender is what a verifier needs to know of who signs: the secret that the
// upstream's config holds, or the keys that were fetched from Inbound.JWKS.
type Sender struct {
	Secret string
	Keys   []ed25519.PublicKey
}

// verifier checks one way of signing.
type verifier struct {
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

// Receive verifies a message that arrived now and says what it is about. query
// is of its URL. The errors are ErrUnverified and ErrUnreadable; neither holds
// anything of the message.
func (i *Inbound) Receive(h http.Header, query url.Values, body []byte, from Sender, now time.Time) (Message, error) {
	if !i.verify.accepts(h, query, body, from, now) {
		return Message{}, ErrUnverified
	}
	if normalize.CheckBody(body) != nil {
		return Message{}, ErrUnreadable
	}
	m := Message{ID: i.verify.messageID(h, body)}
	if i.types != "" {
		if word := gjson.GetBytes(body, i.types); word.IsArray() || word.IsObject() || !slices.Contains(i.words, word.String()) {
			return m, nil
		}
	}
	m.TaskID = firstID([]idSource{i.id}, h, body)
	return m, nil
}

// Usable reports whether messages can be verified with such a secret.
func (i *Inbound) Usable(secret string) bool {
	return secret != "" && !(i.verify.standard && len(standardKey(secret)) == 0)
}

// Sign makes a message with that body acceptable to Receive: it adds to h, and
// returns what the query of the URL needs. It is what simulations and tests
// sign with. ok is false where the upstream signs with a key of its own.
func (i *Inbound) Sign(h http.Header, body []byte, secret string, now time.Time) (query url.Values, ok bool) {
	v := &i.verify
	if v.token {
		if v.query != "" {
			return url.Values{v.query: {v.prefix + secret}}, true
		}
		h.Set(v.header, v.prefix+secret)
		return nil, true
	}
	if v.newHash == nil {
		return nil, false
	}
	key := []byte(secret)
	if v.standard {
		key = standardKey(secret)
		h.Set("Webhook-Id", "msg_"+strconv.FormatInt(now.UnixNano(), 36))
	}
	if v.timestamp != "" {
		h.Set(v.timestamp, strconv.FormatInt(now.Unix(), 10))
	}
	mac := hmac.New(v.newHash, key)
	mac.Write(v.message(h, body))
	h.Set(v.header, v.prefix+v.encode(mac.Sum(nil)))
	return nil, true
}

// accepts compares in constant time; of several signatures, as while a key is
// being rotated, one must hold.
func (v *verifier) accepts(h http.Header, query url.Values, body []byte, from Sender, now time.Time) bool {
	if v.token {
		sent := h.Get(v.header)
		if v.query != "" {
			sent = query.Get(v.query)
		}
		sent, prefixed := strings.CutPrefix(sent, v.prefix)
		return prefixed && from.Secret != "" && subtle.ConstantTimeCompare([]byte(sent), []byte(from.Secret)) == 1
	}
	if v.tolerance > 0 && !v.timely(h.Get(v.timestamp), now) {
		return false
	}
	message := v.message(h, body)
	key := []byte(from.Secret)
	if v.standard {
		key = standardKey(from.Secret)
	}
	accepted := false
	for _, text := range v.signatures(h) {
		signature, err := v.decode(text)
		if err != nil {
			continue
		}
		if v.newHash == nil {
			accepted = accepted || slices.ContainsFunc(from.Keys, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, message, signature) })
			continue
		}
		mac := hmac.New(v.newHash, key)
		mac.Write(message)
		accepted = len(key) > 0 && hmac.Equal(mac.Sum(nil), signature) || accepted
	}
	return accepted
}

// signatures are those in the header: separated by blanks or commas, of which
// the ones without the prefix are of another kind.
func (v *verifier) signatures(h http.Header) (all []string) {
	separators := " "
	if !v.standard && !strings.Contains(v.prefix, ",") {
		separators = " ,"
	}
	for _, text := range strings.FieldsFunc(h.Get(v.header), func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if signature, ok := strings.CutPrefix(text, v.prefix); ok {
			all = append(all, signature)
		}
	}
	return all
}

// timely reports whether a message's time, in seconds or milliseconds or as in
// RFC 3339, is near now.
func (v *verifier) timely(sent string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, sent)
	if seconds, bad := strconv.ParseInt(sent, 10, 64); bad == nil {
		if at, err = time.Unix(seconds, 0), nil; seconds > 1e11 {
			at = time.UnixMilli(seconds)
		}
	}
	return err == nil && now.Sub(at).Abs() <= v.tolerance
}

func (v *verifier) message(h http.Header, body []byte) []byte {
	var b []byte
	for _, p := range v.signed {
		switch p.kind {
		case pieceText:
			b = append(b, p.text...)
		case pieceBody:
			b = append(b, body...)
		case pieceBodyHash:
			sum := sha256.Sum256(body)
			b = hex.AppendEncode(b, sum[:])
		case pieceTimestamp:
			b = append(b, h.Get(v.timestamp)...)
		case pieceHeader:
			b = append(b, h.Get(p.text)...)
		}
	}
	return b
}

// messageID is the sender's own id of the message where the scheme has one,
// else a hash of what was signed: whoever sends a message again sends the same.
func (v *verifier) messageID(h http.Header, body []byte) string {
	if v.standard {
		return h.Get("Webhook-Id")
	}
	message := v.message(h, body)
	if v.token {
		message = body
	}
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:])
}

// standardKey is the key in a secret of Standard Webhooks, nil if it is none.
func standardKey(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return nil
	}
	return key
}

// ParseJWKS returns the Ed25519 keys of a JSON Web Key Set (RFC 8037); keys of
// other kinds are left out.
func ParseJWKS(data []byte) ([]ed25519.PublicKey, error) {
	var set struct {
		Keys []struct{ Kty, Crv, X string }
	}
	if normalize.CheckBody(data) != nil || json.Unmarshal(data, &set) != nil {
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

// hashes are the words of verify.hmac.
var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
