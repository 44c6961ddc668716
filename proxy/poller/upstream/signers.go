package upstream

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"pollux/providers"
	"pollux/providers/signatures"
	"pollux/proxy/poller/transport"
)

const (
	maxKeySet    = 256 << 10        // bytes
	keysRenewed  = time.Hour        // after so long a message has the keys fetched anew
	keysBelieved = 24 * time.Hour   // and so long they hold while that fails
	keysEvery    = time.Minute      // at most one request for them
	keysTimeout  = 10 * time.Second // of such a request
)

// signers are the keys that an upstream says it signs its messages with. Nil
// has none.
type signers struct {
	at        *url.URL
	transport *transport.Connections
	host      *Host

	mu       sync.Mutex // guards what follows
	keys     []ed25519.PublicKey
	fetched  time.Time     // when keys came; zero: never
	tried    time.Time     // when they were asked for last
	fetching chan struct{} // closed when a request under way has ended; nil: none is
}

func newSigners(host *Host, cfg Config, provider *providers.Provider, way route) (*signers, error) {
	if cfg.Inbound == nil || provider.Inbound == nil || provider.Inbound.JWKS == "" {
		return nil, nil
	}
	at, err := url.Parse(provider.Inbound.JWKS)
	if err != nil {
		return nil, nil // the loader has checked it
	}
	connections, err := way.connections(transport.Config{Base: at, DialTimeout: keysTimeout, Patience: keysTimeout, MaxIdle: 1, Panics: host.Roots}, way.trusted)
	return &signers{at: at, transport: connections, host: host}, err
}

func (s *signers) close() {
	if s != nil {
		s.transport.Close()
	}
}

// SignerKeys returns the keys that u publishes, none if it publishes none. The
// first time, and where others than those at hand are wanted since none of them
// fits, it waits for an answer until ctx ends; a stream of forged messages
// causes one request a minute.
func (u *Upstream) SignerKeys(ctx context.Context, others bool) []ed25519.PublicKey {
	s := u.signers
	if s == nil {
		return nil
	}
	keys, fetching := s.atHand(time.Now(), others)
	if fetching == nil || len(keys) > 0 && !others {
		return keys
	}
	select {
	case <-fetching:
	case <-ctx.Done():
	}
	keys, _ = s.atHand(time.Now(), false)
	return keys
}

// atHand returns the keys that hold now, and what is closed once those have come
// that are being fetched. It starts to fetch what is wanted.
func (s *signers) atHand(now time.Time, others bool) (keys []ed25519.PublicKey, fetching <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() || now.Sub(s.fetched) > keysBelieved {
		s.keys = nil
	}
	wanted := others || s.keys == nil || now.Sub(s.fetched) > keysRenewed
	if wanted && s.fetching == nil && (s.tried.IsZero() || now.Sub(s.tried) >= keysEvery) {
		s.tried, s.fetching = now, make(chan struct{})
		go s.host.Roots.Run("keys of signers", s.renew)
	}
	return s.keys, s.fetching
}

// renew fetches the keys once. What was known stays while that fails.
func (s *signers) renew() {
	ctx, cancel := context.WithTimeout(s.host.Base, keysTimeout)
	defer cancel()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.fetching)
		s.fetching = nil
	}()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.fetched = keys, time.Now()
	}
}

func (s *signers) fetch(ctx context.Context) ([]ed25519.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.at.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Via", "1.1 "+hop)
	req.Header.Set("Accept", "application/json")
	res, err := s.transport.RoundTrip(nil, req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New("the keys were not given")
	}
	body, err := readBody(res, maxKeySet)
	if err != nil {
		return nil, err
	}
	return signatures.ParseJWKS(body)
}
