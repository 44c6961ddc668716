package providers

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"pollux/providers/signatures"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func mac(key, message string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(message))
	return m.Sum(nil)
}

func TestStandardWebhooks(t *testing.T) {
	in := builtins(t).Get("openai-batches")
	key := "0123456789abcdef01234567"
	secret := signatures.Sender{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))}
	const body = `{"type":"batch.completed","data":{"id":"batch_1"}}`
	signed := func(id string, at time.Time, body string) http.Header {
		stamp := strconv.FormatInt(at.Unix(), 10)
		return header("webhook-id", id, "webhook-timestamp", stamp, "webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac(key, id+"."+stamp+"."+body)))
	}
	with := func(h http.Header, name, value string) http.Header { h = h.Clone(); h.Set(name, value); return h }
	good := signed("msg_1", noon, body)
	tests := []struct {
		name string
		h    http.Header
		body string
		from signatures.Sender
		want Message
		err  error
	}{
		{"signed", good, body, secret, Message{"msg_1", "batch_1"}, nil},
		{"a minute late", signed("msg_2", noon.Add(-time.Minute), body), body, secret, Message{"msg_2", "batch_1"}, nil},
		{"while a key is rotated", with(good, "webhook-signature", "v1,AAAA v1a,xyz "+good.Get("webhook-signature")), body, secret, Message{"msg_1", "batch_1"}, nil},
		{"another type", signed("m", noon, `{"type":"response.completed","data":{"id":"resp_1"}}`), `{"type":"response.completed","data":{"id":"resp_1"}}`, secret, Message{"m", ""}, nil},
		{"about no task", signed("m", noon, `{"type":"batch.completed"}`), `{"type":"batch.completed"}`, secret, Message{"m", ""}, nil},
		{"too old", signed("m", noon.Add(-6*time.Minute), body), body, secret, Message{}, ErrUnverified},
		{"from the future", signed("m", noon.Add(6*time.Minute), body), body, secret, Message{}, ErrUnverified},
		{"unsigned", header(), body, secret, Message{}, ErrUnverified},
		{"without a time", with(good, "webhook-timestamp", ""), body, secret, Message{}, ErrUnverified},
		{"another body", good, body + " ", secret, Message{}, ErrUnverified},
		{"another id", with(good, "webhook-id", "msg_9"), body, secret, Message{}, ErrUnverified},
		{"another key", good, body, signatures.Sender{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("another key, as long as it"))}, Message{}, ErrUnverified},
		{"no key", good, body, signatures.Sender{}, Message{}, ErrUnverified},
		{"a key that is none", good, body, signatures.Sender{Secret: "whsec_*"}, Message{}, ErrUnverified},
		{"no JSON", signed("m", noon, "oops"), "oops", secret, Message{}, ErrUnreadable},
		{"a list", signed("m", noon, "[]"), "[]", secret, Message{}, ErrUnreadable},
	}
	for _, tt := range tests {
		if got, err := in.Receive(tt.h, nil, []byte(tt.body), tt.from, noon); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: Receive = %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestMessageTypes: a type is a word as a status is, a number or boolean too.
func TestMessageTypes(t *testing.T) {
	in := parse(t, "in", "name: in\nidentity: {headers: [K]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\nstatus: {path: s, words: {x: completed}}\n"+
		"inbound: {id: id, types: {path: type, words: [done, '3', 'true']}, verify: {token: {header: T}}}\n")
	for kind, want := range map[string]string{`"done"`: "7", `3`: "7", `true`: "7", `"3"`: "7", `4`: "", `false`: "", `null`: "", `["done"]`: "", `"Done"`: ""} {
		if got, err := in.Receive(header("T", "k"), nil, []byte(`{"id":"7","type":`+kind+`}`), signatures.Sender{Secret: "k"}, noon); err != nil || got.TaskID != want {
			t.Errorf("type %s: a hint for %q (%v), want %q", kind, got.TaskID, err, want)
		}
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestEd25519(t *testing.T) {
	in := builtins(t).Get("fal")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	keys, err := signatures.ParseJWKS([]byte(`{"keys":[{"kty":"RSA","n":"x"},{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(other) + `"},{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}]}`))
	if err != nil || len(keys) != 2 || in.Inbound.JWKS == "" {
		t.Fatalf("ParseJWKS = %d keys, %v; fetched from %q", len(keys), err, in.Inbound.JWKS)
	}
	const body = `{"request_id":"764cabcf","status":"OK"}`
	stamp := strconv.FormatInt(noon.Unix(), 10)
	signature := ed25519.Sign(private, []byte("764cabcf\nuser\n"+stamp+"\n"+sum(body)))
	h := header("X-Fal-Webhook-Request-Id", "764cabcf", "X-Fal-Webhook-User-Id", "user", "X-Fal-Webhook-Timestamp", stamp, "X-Fal-Webhook-Signature", hex.EncodeToString(signature))
	if got, err := in.Receive(h, nil, []byte(body), signatures.Sender{Keys: keys}, noon); err != nil || got.TaskID != "764cabcf" {
		t.Errorf("Receive = %+v, %v", got, err)
	}
	for name, from := range map[string]signatures.Sender{"another key": {Keys: keys[:1]}, "no key": {}, "a secret instead": {Secret: "k"}} {
		if _, err := in.Receive(h, nil, []byte(body), from, noon); !errors.Is(err, ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := in.Receive(h, nil, []byte(body+" "), signatures.Sender{Keys: keys}, noon); !errors.Is(err, ErrUnverified) {
		t.Errorf("another body: %v", err)
	}
	if _, err := in.Receive(h, nil, []byte(body), signatures.Sender{Keys: keys}, noon.Add(time.Hour)); !errors.Is(err, ErrUnverified) {
		t.Errorf("an hour later: %v", err)
	}
}
