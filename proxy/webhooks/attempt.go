package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"pollux/providers"
	"pollux/proxy/egress"
	"pollux/proxy/wire"
)

const (
	// maxAnswer is how much of a receiver's answer is read, and dropped.
	maxAnswer = 64 << 10
	// heldFor is how long a message waits to be looked at again whose partition
	// is suspended.
	heldFor = time.Minute
	// unreadFor is how long a message waits that the store did not give.
	unreadFor = 5 * time.Second
)

// answer is how one attempt went.
type answer struct {
	Attempt
	ok, gone   bool
	retryAfter time.Duration
	busy       bool // the receiver itself asks for a rest: 429 or 503
	unread     bool // our own store did not give the message: that says nothing of the receiver
	unclaimed  bool // another process makes this attempt, or a later one
}

// dispatch sends what is due until ctx ends and the attempts under way have
// returned.
func (w *Service) dispatch(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.mu.Lock()
		d, wait := w.queue.next(time.Now())
		w.mu.Unlock()
		if d != nil {
			sending.Go(func() { w.roots.Run("attempt", func() { w.attempt(ctx, d) }) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-w.queue.wake:
		case <-timer.C:
		}
	}
}

// attempt sends d once and plans what follows.
func (w *Service) attempt(ctx context.Context, d *delivery) {
	st := w.settings.Load()
	w.mu.RLock()
	held := w.rooms[d.partition] != nil && w.rooms[d.partition].suspended || d.hook.barred(d)
	secrets := d.hook.signers(time.Now())
	w.mu.RUnlock()
	held = held || w.engine.Withholds(&d.partition)
	var a answer
	if !held && !w.claim(ctx, d, st.timeout) {
		a.unclaimed = true
	} else if !held {
		body, done, err := w.message(ctx, d)
		if err != nil {
			w.log.Warn("the message of a webhook delivery cannot be read", "delivery", d.id, "err", err)
			a.unread = true
		} else {
			a = st.send(ctx, d.hook.url, d.id, body, secrets)
		}
		done()
	}
	cut := ctx.Err() != nil // shutting down: that says nothing of the receiver
	if !w.conclude(d, a, held, cut, st.giveUpAfter) {
		return
	}
	w.keep(d)
}

// conclude notes how an attempt went and reports whether that has to be stored.
func (w *Service) conclude(d *delivery, a answer, held, cut bool, giveUpAfter time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	e := w.queue.sent(d)
	defer func() {
		w.queue.replan(e)
		w.poke()
	}()
	switch {
	case d.hook.deleted:
		return false
	case d.hook.barred(d) && !a.ok:
		d.state = DeliveryGaveUp
	case cut && !a.ok:
		w.enqueue(d)
		return false
	case a.unclaimed:
		d.postpone(now.Add(unclaimedFor), giveUpAfter)
		w.enqueue(d)
		return false
	case held:
		d.postpone(now.Add(heldFor), giveUpAfter)
	case a.unread:
		d.postpone(now.Add(unreadFor), giveUpAfter)
	case a.ok:
		d.state = DeliveryDelivered
	case a.gone:
		d.state = DeliveryGaveUp
		w.end(d.hook)
	default:
		d.failed(now, a.retryAfter, giveUpAfter)
	}
	if !held && !a.unread {
		rest := time.Duration(0)
		if a.busy {
			rest = a.retryAfter
		}
		e.answered(a.ok || a.gone, now, rest)
		d.note(a.Attempt)
		w.metrics.attempted(a)
	}
	if d.hook.gone && d.state == DeliveryPending {
		d.state = DeliveryGaveUp
	}
	switch d.state {
	case DeliveryPending:
		w.enqueue(d)
	case DeliveryGaveUp:
		w.metrics.gaveUp.Inc()
	}
	return true
}

// keep stores what became of d so far. A message whose success is lost is sent
// again after a restart, which receivers are told to expect.
func (w *Service) keep(d *delivery) {
	w.mu.RLock()
	state := d.encode()
	w.mu.RUnlock()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := w.outbox.SetDeliveryState(ctx, d.id, w.vault.seal(sealedState, d.id, state)); err != nil {
		w.log.Warn("what became of a webhook delivery could not be stored", "delivery", d.id, "err", err)
	}
}

// send makes one attempt.
func (st *Settings) send(ctx context.Context, url, id string, body []byte, secrets [][]byte) (a answer) {
	a.At = time.Now().UTC()
	defer func() { a.DurationMS = time.Since(a.At).Milliseconds() }()
	ctx, cancel := context.WithTimeout(ctx, st.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		a.Error = new("the URL cannot be used")
		return a
	}
	timestamp, signature := sign(id, a.At, body, secrets)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Pollux-Webhooks/1.0")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", signature)
	transport := st.secure
	if r.URL.Scheme == "http" {
		transport = st.plain
	}
	res, err := transport.RoundTrip(r) // and not a Client, which would follow redirects
	if err != nil {
		a.Error = new(reasonOf(err))
		return a
	}
	defer res.Body.Close()
	code := res.StatusCode
	a.StatusCode, a.ok, a.gone = &code, code/100 == 2, code == http.StatusGone
	if code/100 == 3 {
		a.Error = new("redirects are not followed")
	}
	if wait, said := providers.RetryAfter(res.Header.Get("Retry-After"), a.At); said && !a.ok {
		a.retryAfter = wait
		a.busy = code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // so that the connection can be used again; the status decides
	return a
}

// reasonOf says why there was no answer. Errors of the network quote the URL,
// whose query may be the receiver's secret, so they are put in our own words.
func reasonOf(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var proxy *egress.Error
	switch {
	case errors.Is(err, ErrAddress), errors.Is(err, ErrPlain):
		return "the address is not allowed"
	case errors.As(err, &certificate):
		return "the certificate is not trusted"
	case errors.Is(err, context.DeadlineExceeded), wire.IsTimeout(err):
		return "timeout"
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.As(err, &dns):
		return "the name cannot be resolved"
	}
	return "the connection failed"
}

// enqueue queues d, or gives up when too many wait for its receiver.
func (w *Service) enqueue(d *delivery) {
	if d.hook.mine && !w.queue.add(d) {
		d.state = DeliveryGaveUp
		d.note(Attempt{At: time.Now().UTC(), Error: new("too many messages wait for this receiver")})
		w.metrics.gaveUp.Inc()
	}
}
