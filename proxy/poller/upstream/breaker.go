package upstream

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"pollux/cache"
)

// Faults of an upstream request, as breakers see them.
var (
	errTransport = errors.New("the upstream cannot be reached")  // counts for the upstream as a whole
	ErrServer    = errors.New("the upstream failed")             // 5xx or an unusable body: counts for the partition first
	ErrNeutral   = errors.New("says nothing about the upstream") // 429, our own shutdown
)

// OpenError says that a breaker kept the upstream from being asked.
type OpenError struct{ RetryAfter time.Duration }

func (e *OpenError) Error() string { return "circuit breaker open" }

// breaker is gobreaker behind a gate. gobreaker alone closes and opens a dozen
// times a minute when half of the answers fail; the gate keeps it open for a
// time that doubles while probes fail.
type breaker struct {
	cfg     BreakerConfig
	base    string // where a partition's upstream is
	cb      *gobreaker.CircuitBreaker[struct{}]
	tripped atomic.Int64 // instant until which the gate is shut
	inARow  int          // failures without a success between them; guarded by gobreaker's own lock

	mu       sync.Mutex // guards what follows; taken inside gobreaker's own lock, never around it
	openFor  time.Duration
	closedAt int64
	changed  func(state string) // must not block
}

// newBreaker returns a closed breaker that counts the errors for which counts
// is true as failures, nil as a success, and ignores the rest.
func newBreaker(cfg BreakerConfig, counts func(error) bool, changed func(state string)) *breaker {
	b := &breaker{cfg: cfg, changed: changed}
	b.cb = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(max(1, cfg.Probes)),
		Interval:     cfg.Window,
		BucketPeriod: max(time.Millisecond, cfg.Window/10),
		Timeout:      cfg.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return b.inARow >= cfg.Failures ||
				int(c.Requests) >= cfg.Minimum && float64(c.TotalFailures) >= cfg.Ratio*float64(c.Requests)
		},
		// gobreaker's own count of failures in a row forgets those before the
		// window, so that slow ones would never be enough.
		IsSuccessful: func(err error) bool {
			if b.inARow++; err == nil {
				b.inARow = 0
			}
			return err == nil
		},
		IsExcluded:    func(err error) bool { return err != nil && !counts(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) { b.stateChanged(from, to) },
	})
	return b
}

func (b *breaker) stateChanged(from, to gobreaker.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch to {
	case gobreaker.StateOpen:
		relapsed := from == gobreaker.StateHalfOpen || b.closedAt != 0 && instant(now)-b.closedAt < int64(b.cfg.Window)
		if b.openFor == 0 || !relapsed {
			b.openFor = b.cfg.OpenFor
		} else {
			b.openFor = min(2*b.openFor, max(b.cfg.OpenFor, b.cfg.OpenForMax))
		}
		// Up to a tenth longer, so that replicas do not probe together, and
		// never shorter, so that gobreaker is half-open when the gate opens.
		jitter := time.Duration(rand.Float64() * float64(b.openFor) / 10)
		b.tripped.Store(instant(now.Add(b.openFor + jitter)))
	case gobreaker.StateClosed:
		b.closedAt = instant(now)
		b.inARow = 0
	}
	if b.changed != nil {
		b.changed(to.String())
	}
}

// run calls f unless the breaker is open; then it returns an *openError.
func (b *breaker) run(f func() error) error {
	if wait := b.wait(time.Now()); wait > 0 {
		return &OpenError{RetryAfter: wait}
	}
	_, err := b.cb.Execute(func() (struct{}, error) { return struct{}{}, f() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return &OpenError{RetryAfter: max(time.Second, b.wait(time.Now()))}
	}
	return err
}

// wait is how long the gate stays shut, 0 when it is open.
func (b *breaker) wait(now time.Time) time.Duration {
	return left(b.tripped.Load(), now)
}

// State is "closed", "half-open" or "open".
func (b *breaker) State() string {
	if b.wait(time.Now()) > 0 {
		return gobreaker.StateOpen.String()
	}
	return b.cb.State().String()
}

// witnesses remembers which partitions lately saw an upstream fail, so that
// one credential's bad tasks do not cut off the others.
type witnesses struct {
	mu     sync.Mutex
	latest [2]witness // of different partitions
}

type witness struct {
	partition cache.ID
	at        int64
}

// add notes a failure seen by a partition and reports whether another one saw
// one within window.
func (w *witnesses) add(id *cache.ID, now time.Time, window time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := instant(now)
	if w.latest[0].partition != *id {
		w.latest[1] = w.latest[0]
	}
	w.latest[0] = witness{partition: *id, at: at}
	other := w.latest[1]
	return other.at != 0 && other.partition != *id && at-other.at <= int64(window)
}

// Guard runs f behind the partition's breaker and the upstream's. Transport
// failures count for the upstream; 5xx and unusable bodies for the partition
// that saw them, and for the upstream once another partition sees them too.
func (u *Upstream) Guard(part *Partition, f func() error) error {
	classified := func() error {
		return u.breaker.run(func() error {
			err := f()
			switch _, unanswered := errors.AsType[*FetchError](err); {
			case unanswered:
				return &countedError{err: err, as: errTransport}
			case errors.Is(err, ErrServer) && u.witnesses.add(&part.ID, time.Now(), u.Config.Breaker.Window):
				return &countedError{err: err, as: errTransport}
			}
			return err
		})
	}
	b := part.breaker.Load()
	if b != nil && (b.cfg != u.Config.Breaker || b.base != u.Base.String()) { // from before a reload
		part.breaker.CompareAndSwap(b, nil)
		b = nil
	}
	if b == nil {
		err := classified()
		if errors.Is(err, ErrServer) {
			b = newBreaker(u.Config.Breaker, func(err error) bool { return errors.Is(err, ErrServer) }, nil)
			b.base = u.Base.String()
			if part.breaker.CompareAndSwap(nil, b) {
				_ = b.run(func() error { return err })
			}
		}
		return err
	}
	return b.run(classified)
}

// LeftAlone is how long breakers keep the upstream from being asked for part, 0
// if they do not.
func (u *Upstream) LeftAlone(part *Partition, now time.Time) time.Duration {
	wait := u.breaker.wait(now)
	if b := part.breaker.Load(); b != nil {
		wait = max(wait, b.wait(now))
	}
	return wait
}

// countedError is an error that the upstream's breaker counts as another.
type countedError struct{ err, as error }

func (e *countedError) Error() string { return e.err.Error() }

func (e *countedError) Unwrap() []error { return []error{e.err, e.as} }
