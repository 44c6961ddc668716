package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"pollux/providers/format"
)

// owner names who a task belongs to. It cannot be turned back into a credential.
type owner [sha256.Size]byte

// everyone owns what any credential may see.
var everyone owner

// ownerOf returns the owner that presents these identity values.
func ownerOf(values []string) owner {
	h := sha256.New()
	for _, v := range values {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v))))
		h.Write([]byte(v))
	}
	return owner(h.Sum(nil))
}

// presented lists the identity values of a request, headers first, without
// their scheme: a key names the same caller in whichever place it stands.
func presented(id format.Identity, h http.Header, query url.Values) []string {
	var values []string
	add := func(all []string) {
		if len(all) == 0 {
			return
		}
		value := bare(all[0])
		if scheme, rest, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, id.Scheme) {
			value = strings.TrimSpace(rest)
		}
		if value != "" {
			values = append(values, value)
		}
	}
	for _, name := range id.Headers {
		if add(h.Values(name)); id.Need == format.NeedAll {
			break // the others say more about whose it is
		}
	}
	for _, name := range id.Query {
		add(query[name])
	}
	return values
}

func bare(value string) string {
	if scheme, rest, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	return value
}

// keyring decides which credentials are let in.
type keyring struct {
	accepted map[owner]bool // nil: every one that is not revoked

	mu      *sync.RWMutex
	revoked map[owner]bool // guarded by mu
}

func newKeyring(keys []string) keyring {
	k := keyring{mu: new(sync.RWMutex), revoked: map[owner]bool{}}
	for _, key := range []string{"invalid", "revoked"} {
		k.revoked[ownerOf([]string{key})] = true
	}
	for _, key := range keys {
		if k.accepted == nil {
			k.accepted = map[owner]bool{}
		}
		k.accepted[ownerOf([]string{key})] = true
	}
	return k
}

// accepts judges identity values: the first is the key, none may be revoked.
func (k *keyring) accepts(values []string) bool {
	if k.accepted != nil && !k.accepted[ownerOf(values[:1])] {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := range values {
		if k.revoked[ownerOf(values[i:i+1])] {
			return false
		}
	}
	return true
}

// set makes every simulated upstream refuse credential from now on, or take it
// again.
func (k *keyring) set(credential string, revoked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id := ownerOf([]string{bare(credential)}); revoked {
		k.revoked[id] = true
	} else {
		delete(k.revoked, id)
	}
}
