package providers

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
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
	in := builtins(t).Get("openai-batches").Inbound
	key := "0123456789abcdef01234567"
	secret := Sender{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))}
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
		from Sender
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
		{"another key", good, body, Sender{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("another key, as long as it"))}, Message{}, ErrUnverified},
		{"no key", good, body, Sender{}, Message{}, ErrUnverified},
		{"a key that is none", good, body, Sender{Secret: "whsec_*"}, Message{}, ErrUnverified},
		{"no JSON", signed("m", noon, "oops"), "oops", secret, Message{}, ErrUnreadable},
		{"a list", signed("m", noon, "[]"), "[]", secret, Message{}, ErrUnreadable},
	}
	for _, tt := range tests {
		if got, err := in.Receive(tt.h, nil, []byte(tt.body), tt.from, noon); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: Receive = %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestOtherSignatures(t *testing.T) {
	verifying := func(verify string) *Inbound {
		return parse(t, "in", "name: in\nidentity: {headers: [K]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\nstatus: {path: s, words: {x: completed}}\ninbound: {id: id, verify: "+verify+"}\n").Inbound
	}
	const body = `{"id":"7"}`
	stamp := strconv.FormatInt(noon.UnixMilli(), 10)
	sha := func(message string) []byte { return mac("k", message) }
	m512 := hmac.New(sha512.New, []byte("k"))
	m512.Write([]byte(body))
	for _, tt := range []struct {
		name, verify string
		h            http.Header
		query        url.Values
		good         bool
	}{
		{"GitHub's", "{hmac: sha256, header: X-Hub-Signature-256, prefix: 'sha256=', encoding: hex, signed: ['{body}']}", header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sha(body))), nil, true},
		{"without its prefix", "{hmac: sha256, header: X-Hub-Signature-256, prefix: 'sha256=', encoding: hex, signed: ['{body}']}", header("X-Hub-Signature-256", hex.EncodeToString(sha(body))), nil, false},
		{"base64, of another hash", "{hmac: sha512, header: X-Sig, encoding: base64}", header("X-Sig", base64.RawURLEncoding.EncodeToString(m512.Sum(nil))), nil, true},
		{"with a time", "{hmac: sha256, header: X-Sig, signed: ['{timestamp}', '.', '{body}'], timestamp: {header: X-Time, tolerance: 1m}}", header("X-Time", stamp, "X-Sig", hex.EncodeToString(sha(stamp+"."+body))), nil, true},
		{"in one text", "{hmac: sha256, header: X-Sig, signed: 'v0:{timestamp}:{body}', timestamp: {header: X-Time}}", header("X-Time", stamp, "X-Sig", hex.EncodeToString(sha("v0:"+stamp+":"+body))), nil, true},
		{"with an old time", "{hmac: sha256, header: X-Sig, signed: ['{timestamp}', '.', '{body}'], timestamp: {header: X-Time, tolerance: 1m}}", header("X-Time", "2026-11-24T11:00:00Z", "X-Sig", hex.EncodeToString(sha("2026-11-24T11:00:00Z."+body))), nil, false},
		{"of a hash of the body", "{hmac: sha256, header: X-Sig, signed: ['{header:X-Id}', '{body:sha256}']}", header("X-Id", "i", "X-Sig", hex.EncodeToString(sha("i"+sum(body)))), nil, true},
		{"token in a header", "{token: {header: X-Secret}}", header("X-Secret", "k"), nil, true},
		{"token after a word", "{token: {header: Authorization}, prefix: 'Bearer '}", header("Authorization", "Bearer k"), nil, true},
		{"another token", "{token: {header: X-Secret}}", header("X-Secret", "kk"), nil, false},
		{"no token", "{token: {header: X-Secret}}", header(), nil, false},
		{"token in the query", "{token: {query: token}}", header(), url.Values{"token": {"k"}}, true},
		{"another in the query", "{token: {query: token}}", header(), url.Values{"token": {"x"}}, false},
	} {
		in := verifying(tt.verify)
		got, err := in.Receive(tt.h, tt.query, []byte(body), Sender{Secret: "k"}, noon)
		if (err == nil) != tt.good || tt.good && (got.TaskID != "7" || got.ID == "") {
			t.Errorf("%s: Receive = %+v, %v, want it good: %v", tt.name, got, err, tt.good)
		}
		if _, err := in.Receive(tt.h, tt.query, []byte(body), Sender{}, noon); err == nil {
			t.Errorf("%s: is verified without a secret", tt.name)
		}
		again, _ := in.Receive(tt.h, tt.query, []byte(body), Sender{Secret: "k"}, noon)
		if again != got {
			t.Errorf("%s: a replayed message is %+v and %+v", tt.name, got, again)
		}
	}
}

// TestMessageTypes: a type is a word as a status is, a number or boolean too.
func TestMessageTypes(t *testing.T) {
	in := parse(t, "in", "name: in\nidentity: {headers: [K]}\nparams: {id: {in: path}}\npoll: {request: 'GET /{id}'}\nstatus: {path: s, words: {x: completed}}\n"+
		"inbound: {id: id, types: {path: type, words: [done, '3', 'true']}, verify: {token: {header: T}}}\n").Inbound
	for kind, want := range map[string]string{`"done"`: "7", `3`: "7", `true`: "7", `"3"`: "7", `4`: "", `false`: "", `null`: "", `["done"]`: "", `"Done"`: ""} {
		if got, err := in.Receive(header("T", "k"), nil, []byte(`{"id":"7","type":`+kind+`}`), Sender{Secret: "k"}, noon); err != nil || got.TaskID != want {
			t.Errorf("type %s: a hint for %q (%v), want %q", kind, got.TaskID, err, want)
		}
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestEd25519(t *testing.T) {
	in := builtins(t).Get("fal").Inbound
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	keys, err := ParseJWKS([]byte(`{"keys":[{"kty":"RSA","n":"x"},{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(other) + `"},{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}]}`))
	if err != nil || len(keys) != 2 || in.JWKS == "" {
		t.Fatalf("ParseJWKS = %d keys, %v; fetched from %q", len(keys), err, in.JWKS)
	}
	const body = `{"request_id":"764cabcf","status":"OK"}`
	stamp := strconv.FormatInt(noon.Unix(), 10)
	signature := ed25519.Sign(private, []byte("764cabcf\nuser\n"+stamp+"\n"+sum(body)))
	h := header("X-Fal-Webhook-Request-Id", "764cabcf", "X-Fal-Webhook-User-Id", "user", "X-Fal-Webhook-Timestamp", stamp, "X-Fal-Webhook-Signature", hex.EncodeToString(signature))
	if got, err := in.Receive(h, nil, []byte(body), Sender{Keys: keys}, noon); err != nil || got.TaskID != "764cabcf" {
		t.Errorf("Receive = %+v, %v", got, err)
	}
	for name, from := range map[string]Sender{"another key": {Keys: keys[:1]}, "no key": {}, "a secret instead": {Secret: "k"}} {
		if _, err := in.Receive(h, nil, []byte(body), from, noon); !errors.Is(err, ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := in.Receive(h, nil, []byte(body+" "), Sender{Keys: keys}, noon); !errors.Is(err, ErrUnverified) {
		t.Errorf("another body: %v", err)
	}
	if _, err := in.Receive(h, nil, []byte(body), Sender{Keys: keys}, noon.Add(time.Hour)); !errors.Is(err, ErrUnverified) {
		t.Errorf("an hour later: %v", err)
	}
	for _, bad := range []string{``, `[]`, `{"keys":[]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`} {
		if keys, err := ParseJWKS([]byte(bad)); err == nil {
			t.Errorf("ParseJWKS(%s) = %d keys", bad, len(keys))
		}
	}
}
