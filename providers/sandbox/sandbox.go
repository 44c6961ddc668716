// Package sandbox plays the upstreams: simulated servers for every provider
// whose file has a simulation section, answering on the routes and in the
// words of that file, with faults on demand. It starts no goroutine; what a
// task is follows from the clock at the time of the request.
package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"pollux/providers"
)

// Options configure a Server. The zero value simulates at real speed without
// rate limits and faults, for any credential.
type Options struct {
	// Seed makes ids, lifecycles, durations and faults repeatable for the same
	// requests in the same order.
	Seed uint64
	// Speed divides every duration of a lifecycle: 10 makes a task of a minute
	// end after six seconds. Zero means 1.
	Speed float64
	// Rates limits requests per credential, by provider name; the one under ""
	// holds for all others. Missing means unlimited.
	Rates map[string]Rate
	// Keys are the credentials that are accepted, without a scheme such as
	// Bearer. Empty accepts any but "invalid" and "revoked".
	Keys []string
	// MaxTasks bounds the tasks kept per provider; the oldest is forgotten
	// first. Zero means 100,000.
	MaxTasks int
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Server simulates upstreams under /{provider}/, followed by the vendor's path
// as it is after the provider's base URL, and is controlled under /_sandbox/.
// It is safe for concurrent use.
type Server struct {
	opts      Options
	upstreams map[string]*upstream
	keys      keyring
	faults    faultBoard
	requests  atomic.Uint64 // numbers requests, for what must differ between them
}

// New returns a Server for the providers of set that have a simulation. It
// fails if a simulated answer is not what its section says it is, see Verify.
func New(set *providers.Set, opts Options) (*Server, error) {
	if opts.Speed == 0 {
		opts.Speed = 1
	}
	if opts.Speed < 0 {
		return nil, errors.New("sandbox: speed is negative")
	}
	if opts.MaxTasks <= 0 {
		opts.MaxTasks = 100_000
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, upstreams: map[string]*upstream{}, keys: newKeyring(opts.Keys)}
	var faults []error
	for _, p := range set.All() {
		if p.Simulation == nil {
			continue
		}
		if err := Verify(p); err != nil {
			faults = append(faults, err)
			continue
		}
		u, err := newUpstream(p, opts)
		if err != nil {
			faults = append(faults, fmt.Errorf("simulate %s: %w", p.Name, err))
			continue
		}
		s.upstreams[p.Name] = u
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// BaseURL is the base URL of a provider's simulated upstream on a server that
// listens on addr (host:port).
func BaseURL(addr, provider string) string { return "http://" + addr + "/" + provider }

// canary is what {canary} becomes in answers about the task with this id when
// credential owns it, so that a body served to another caller gives itself away.
func canary(seed uint64, credential, id string) string {
	mac := hmac.New(sha256.New, binary.BigEndian.AppendUint64(nil, seed))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(credential))))
	mac.Write([]byte(credential))
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Create starts a task, owned by credential (without its scheme; "" lets every
// credential see it), and returns its id. params may fix the id and other
// parameters of its reference by name; lifecycle "" draws one.
func (s *Server) Create(provider string, params map[string]string, credential, lifecycle string) (id string, err error) {
	return s.create(provider, params, credential, lifecycle, 0)
}

func (s *Server) create(provider string, params map[string]string, credential, lifecycle string, bodyBytes int) (string, error) {
	u := s.upstreams[provider]
	if u == nil {
		return "", fmt.Errorf("create a task: no simulated provider %q", provider)
	}
	t, err := u.add(newTask{
		params: params, credential: credential, lifecycle: lifecycle,
		bodyBytes: bodyBytes, now: s.opts.Now(),
	})
	if err != nil {
		return "", fmt.Errorf("create a task of %s: %w", provider, err)
	}
	return t.id, nil
}

// ServeHTTP answers as the upstream named by the first segment of the path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if name == "_sandbox" {
		s.control(w, r, path)
		return
	}
	u := s.upstreams[name]
	if u == nil {
		http.Error(w, "no simulated upstream of that name", http.StatusNotFound)
		return
	}
	e := &exchange{server: s, upstream: u, request: r, nonce: s.requests.Add(1), now: s.opts.Now()}
	e.serve(w, "/"+path)
}
