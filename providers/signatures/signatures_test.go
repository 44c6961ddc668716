package signatures_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"pollux/providers/signatures"
	"pollux/providers/strictyaml"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

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

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// scheme is what rules describe that are as in a provider file.
func scheme(t *testing.T, verify string) signatures.Scheme {
	t.Helper()
	root, faults := strictyaml.Parse("rules.yaml", []byte("verify: "+verify), nil)
	var file struct {
		Verify signatures.Rules `yaml:"verify"`
	}
	faults = append(faults, root.Decode(&file)...)
	s := file.Verify.Scheme(func(n *strictyaml.Node, key, format string, args ...any) {
		faults = append(faults, root.Fault(format, args...))
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return s
}

func TestSignatures(t *testing.T) {
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
		s := scheme(t, tt.verify)
		if got := s.Verify(tt.h, tt.query, []byte(body), signatures.Sender{Secret: "k"}, noon); got != tt.good {
			t.Errorf("%s: Verify = %v, want %v", tt.name, got, tt.good)
		}
		if s.Verify(tt.h, tt.query, []byte(body), signatures.Sender{}, noon) {
			t.Errorf("%s: is verified without a secret", tt.name)
		}
		id := s.MessageID(tt.h, []byte(body))
		if id == "" || id != s.MessageID(tt.h, []byte(body)) || id == s.MessageID(tt.h, []byte(body+" ")) {
			t.Errorf("%s: a message has the id %q, and not always, or another one has, too", tt.name, id)
		}
	}
}

// TestSign: what is signed is verified, whatever the scheme, and by nobody
// else's secret.
func TestSign(t *testing.T) {
	const secret = "whsec_c2FtcGxlIHNlY3JldA=="
	for _, verify := range []string{
		"standard-webhooks",
		"{hmac: sha1, header: X-Sig, encoding: base64, prefix: 'v1='}",
		"{hmac: sha512, header: X-Sig, signed: ['{timestamp}.', '{body:sha256}'], timestamp: {header: X-Time}}",
		"{token: {header: X-Secret}}",
		"{token: {query: secret}}",
	} {
		s, h, body := scheme(t, verify), http.Header{}, []byte("{}")
		query, ok := s.Sign(h, body, secret, noon)
		if !ok || !s.Usable(secret) || !s.Verify(h, query, body, signatures.Sender{Secret: secret}, noon) {
			t.Errorf("%s: Sign = %v, %v, with %v, which is not verified", verify, query, ok, h)
		}
		if s.Verify(h, query, body, signatures.Sender{Secret: "whsec_b3RoZXI="}, noon) {
			t.Errorf("%s: verified with another secret", verify)
		}
	}
	s := scheme(t, "{ed25519: {jwks: 'https://vendor.example/keys', header: X-Sig}}")
	if _, ok := s.Sign(http.Header{}, nil, secret, noon); ok {
		t.Error("signed with a key that only the vendor has")
	}
}

func TestParseJWKS(t *testing.T) {
	for _, bad := range []string{``, `[]`, `{"keys":[]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`} {
		if keys, err := signatures.ParseJWKS([]byte(bad)); err == nil {
			t.Errorf("ParseJWKS(%s) = %d keys", bad, len(keys))
		}
	}
}
