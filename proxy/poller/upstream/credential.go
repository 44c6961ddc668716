package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"sync/atomic"
	"time"

	"pollux/cache"
	"pollux/providers"
)

const (
	// maxSecretFile bounds a file that holds a credential.
	maxSecretFile = 64 << 10
	// secretFileEvery is how often such a file is looked at for a change.
	secretFileEvery = time.Second
)

// held is the credential that Pollux holds for an upstream. It is safe for
// concurrent use.
type held struct {
	provider *providers.Provider
	secret   *cache.Secret
	file     string // of a bare key, read again when it changes: who renews it writes it anew; "": none
	client   *client

	now    atomic.Pointer[holding]
	looked atomic.Int64 // instant of the last look at file
}

// holding is what is held at one moment.
type holding struct {
	credential providers.Credential
	account    [16]byte
}

func newHeld(cfg CredentialConfig, provider *providers.Provider, secret *cache.Secret) (*held, error) {
	h := &held{provider: provider, secret: secret, file: cfg.File}
	switch {
	case cfg.OAuth2 != nil:
		h.now.Store(&holding{account: h.clientAccount(cfg.OAuth2)})
	case cfg.File != "":
		h.looked.Store(instant(time.Now()))
		bare, err := readSecret(cfg.File)
		if err != nil {
			return nil, fmt.Errorf("credential.file: %w", err)
		}
		h.hold(provider.HeldCredential(bare))
	case len(cfg.Headers) > 0:
		var c providers.Credential
		for _, name := range slices.Sorted(maps.Keys(cfg.Headers)) {
			c.Headers = append(c.Headers, providers.Field{Name: textproto.CanonicalMIMEHeaderKey(name), Value: string(cfg.Headers[name])})
		}
		h.hold(c)
	default:
		h.hold(provider.HeldCredential(string(cfg.Value)))
	}
	return h, nil
}

func (h *held) hold(c providers.Credential) {
	h.now.Store(&holding{credential: c, account: h.account(c)})
}

// current is what is held now. A file that cannot be read leaves what it held
// last, which may still do: it may be half-written, or gone for a moment.
func (h *held) current() *holding {
	if h.client != nil {
		return &holding{credential: h.client.carry(h.client.tokens.Current()), account: h.now.Load().account}
	}
	if h.file != "" {
		now, last := instant(time.Now()), h.looked.Load()
		if now-last >= int64(secretFileEvery) && h.looked.CompareAndSwap(last, now) {
			if bare, err := readSecret(h.file); err == nil {
				h.hold(h.provider.HeldCredential(bare))
			}
		}
	}
	return h.now.Load()
}

// account is a keyed hash of a held credential, by which it is known again
// after a restart.
func (h *held) account(c providers.Credential) [16]byte {
	hash := h.secret.Hash("held credential")
	for _, f := range c.Headers {
		hash.PartString(f.Name)
		hash.PartString(f.Value)
	}
	hash.Absent()
	for _, f := range c.Query {
		hash.PartString(f.Name)
		hash.PartString(f.Value)
	}
	var sum cache.ID
	hash.Sum(&sum)
	return [16]byte(sum[:16])
}

// HeldCredential is the credential of an upstream whose credential Pollux holds,
// as it is sent at this moment; zero if it holds none. It may read a file.
func (u *Upstream) HeldCredential() providers.Credential {
	if u.held == nil {
		return providers.Credential{}
	}
	return u.held.current().credential
}

// Account is that of c where Pollux holds the credential, zero otherwise.
func (u *Upstream) Account(c providers.Credential) (account [16]byte) {
	switch {
	case u.held == nil:
		return account
	case u.held.client != nil:
		return u.held.now.Load().account // whatever its token is
	}
	return u.held.account(c)
}

// heldAccount is that of the credential that is held now. It allocates nothing.
func (u *Upstream) heldAccount() [16]byte {
	if u.held.client != nil {
		return u.held.now.Load().account
	}
	return u.held.current().account
}

// readSecret reads a bare key from a regular file, without the blanks around
// it. Its errors do not hold what the file does.
func readSecret(path string) (string, error) {
	b, err := readRegular(path, maxSecretFile)
	if err != nil {
		return "", err
	}
	bare := string(bytes.TrimSpace(b))
	if !providers.Visible(bare) {
		return "", errors.New("want visible ASCII characters in it, since they travel in a header")
	}
	return bare, nil
}
