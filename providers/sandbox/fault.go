package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of faults beside the HTTP codes 400 to 599.
const (
	Latency  = "latency"  // the answer comes late by Delay
	Cut      = "cut"      // the body ends half way, and the connection with it
	Reset    = "reset"    // the connection is reset once the request was obeyed
	Hang     = "hang"     // no answer for Delay (0: until the caller leaves), then the connection ends
	HTML     = "html"     // 200 with a page instead of the answer
	Garbage  = "garbage"  // 200 that claims to be JSON and is not
	Redirect = "redirect" // 302 to somewhere else
	Foreign  = "foreign"  // the answer names another task than the one asked for
)

var faultKinds = []string{Latency, Cut, Reset, Hang, HTML, Garbage, Redirect, Foreign}

// maxFaults bounds the faults that are active at once.
const maxFaults = 1000

// Fault is trouble that requests meet.
type Fault struct {
	Provider string        // "" strikes all
	Route    string        // poll, create, cancel, action, listing or other; "" strikes all
	Kind     string        // one of the kinds, or a code such as "503"
	Ratio    float64       // of the requests that are struck; 0 means all
	Delay    time.Duration // see the kinds; for 429 and 503 the Retry-After, 0 sends none with 503 and 2s with 429
	For      time.Duration // how long it is active; 0 means until it is cleared
}

// validate says what is wrong with a fault.
func (f Fault) validate() error {
	if code, _ := strconv.Atoi(f.Kind); !slices.Contains(faultKinds, f.Kind) && (code < 400 || code > 599) {
		return fmt.Errorf("fault: kind is none of %s and no code from 400 to 599", strings.Join(faultKinds, ", "))
	}
	if !(f.Ratio >= 0 && f.Ratio <= 1) || f.Delay < 0 || f.For < 0 {
		return fmt.Errorf("fault: ratio is from 0 to 1, delay and for are not negative")
	}
	if f.Route != "" && !slices.Contains(kindNames[:], f.Route) {
		return fmt.Errorf("fault: route is none of %s", strings.Join(kindNames[:], ", "))
	}
	return nil
}

// faultBoard holds the faults that are active.
type faultBoard struct {
	mu     sync.RWMutex
	active []activeFault // guarded by mu
}

type activeFault struct {
	Fault
	until time.Time // zero: for ever
}

// AddFault makes requests meet f from now on.
func (s *Server) AddFault(f Fault) error {
	if err := f.validate(); err != nil {
		return err
	}
	if f.Provider != "" && s.upstreams[f.Provider] == nil {
		return fmt.Errorf("fault: no simulated provider %q", f.Provider)
	}
	now := s.opts.Now()
	a := activeFault{Fault: f}
	if f.For > 0 {
		a.until = now.Add(f.For)
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.active = slices.DeleteFunc(s.faults.active, func(a activeFault) bool { return a.over(now) })
	if len(s.faults.active) >= maxFaults {
		return fmt.Errorf("fault: %d are active already", maxFaults)
	}
	s.faults.active = append(s.faults.active, a)
	return nil
}

// ClearFaults ends the faults of a provider, of all when provider is "".
func (s *Server) ClearFaults(provider string) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.active = slices.DeleteFunc(s.faults.active, func(a activeFault) bool {
		return provider == "" || a.Provider == provider
	})
}

// activeFaults lists the faults that requests meet now.
func (s *Server) activeFaults() []faultJSON {
	now := s.opts.Now()
	s.faults.mu.RLock()
	defer s.faults.mu.RUnlock()
	list := []faultJSON{}
	for _, a := range s.faults.active {
		if a.over(now) {
			continue
		}
		f := faultJSON{Provider: a.Provider, Route: a.Route, Kind: a.Kind, Ratio: a.Ratio, Delay: span(a.Delay)}
		if !a.until.IsZero() {
			f.For = span(a.until.Sub(now).Round(time.Millisecond))
		}
		list = append(list, f)
	}
	return list
}

func (a activeFault) over(now time.Time) bool { return !a.until.IsZero() && !now.Before(a.until) }

// draw returns the fault that an exchange meets, and how late its answer is
// beside that: latencies add up.
func (b *faultBoard) draw(e *exchange) (f Fault, late time.Duration) {
	if header := e.request.Header.Get(FaultHeader); header != "" {
		return headerFault(header)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i, a := range b.active {
		if a.over(e.now) || !a.strikes(e, uint64(i)) {
			continue
		}
		if a.Kind == Latency {
			late += a.Delay
		} else if f.Kind == "" {
			f = a.Fault
		}
	}
	return f, late
}

// headerFault reads "hang" or "latency=2s"; what it cannot read is no fault.
func headerFault(header string) (f Fault, late time.Duration) {
	kind, delay, _ := strings.Cut(header, "=")
	f.Kind = kind
	f.Delay, _ = time.ParseDuration(delay)
	switch {
	case f.validate() != nil:
		return Fault{}, 0
	case kind == Latency:
		return Fault{}, f.Delay
	}
	return f, 0
}

func (a activeFault) strikes(e *exchange, index uint64) bool {
	if a.Provider != "" && a.Provider != e.upstream.provider.Name || a.Route != "" && a.Route != e.kind.String() {
		return false
	}
	return a.Ratio == 0 || rand.New(rand.NewPCG(e.server.opts.Seed^e.nonce, index)).Float64() < a.Ratio
}

// strike answers as the fault has it, rightly if it is zero. Faults of the
// connection come after the request was obeyed, as they do in life; an error
// code comes instead.
func (e *exchange) strike(w http.ResponseWriter, f Fault) {
	switch f.Kind {
	case "":
		write(w, e.answer())
	case Cut:
		cut(w, e.answer())
	case Reset:
		e.answer()
		reset(w)
	case Hang:
		e.answer()
		if f.Delay > 0 {
			e.pause(f.Delay)
		} else {
			<-e.request.Context().Done()
		}
		panic(http.ErrAbortHandler)
	case HTML:
		page := "<!DOCTYPE html><html><head><title>Maintenance</title></head><body>We will be back soon.</body></html>\n"
		write(w, answer{code: 200, header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, body: []byte(page)})
	case Garbage:
		a := e.answer()
		a.code, a.header["Content-Type"] = http.StatusOK, "application/json"
		a.body = append(a.body[:len(a.body)/2], "\xff\x00{{]"...)
		write(w, a)
	case Redirect:
		a := plain(http.StatusFound, "moved\n")
		a.header["Location"] = "/_sandbox/elsewhere"
		write(w, a)
	case Foreign:
		e.foreign(w)
	default:
		write(w, e.refusal(f))
	}
}

// refusal renders an HTTP error code in the upstream's own words where it has some.
func (e *exchange) refusal(f Fault) answer {
	code, _ := strconv.Atoi(f.Kind)
	e.quota = quota{limit: unlimited, remaining: unlimited - 1, reset: e.now.Add(time.Minute)}
	situations := map[int]string{
		400: "invalid", 401: "refused", 404: "not_found", 429: "rate_limited", 500: "server_error", 503: "unavailable",
	}
	if code == http.StatusTooManyRequests {
		e.quota.remaining, e.quota.wait = 0, cmp.Or(f.Delay, 2*time.Second)
		e.quota.reset = e.now.Add(e.quota.wait)
	}
	a := e.situation(situations[code], code)
	a.code = code
	if code == http.StatusServiceUnavailable && f.Delay > 0 {
		a.header["Retry-After"] = strconv.Itoa(quota{wait: f.Delay}.seconds())
	}
	return a
}

// foreign answers a poll with the caller's answer under another id.
func (e *exchange) foreign(w http.ResponseWriter) {
	a := e.answer()
	if id := e.params[e.upstream.idName]; id != "" {
		a.body = []byte(strings.ReplaceAll(string(a.body), id, reverse(id)+"x"))
	}
	write(w, a)
}

func reverse(id string) string {
	b := []byte(id)
	slices.Reverse(b)
	return string(b)
}

// pause waits for d, or until the caller leaves.
func (e *exchange) pause(d time.Duration) { pause(e.request.Context(), d) }

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// cut promises a whole body, sends half of it and ends the connection.
func cut(w http.ResponseWriter, a answer) {
	whole := max(2, len(a.body))
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole))
	w.WriteHeader(a.code)
	w.Write(a.body[:len(a.body)/2])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset where it can, else abruptly.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // unsent data is dropped and the peer sees a reset
	}
	conn.Close()
}
