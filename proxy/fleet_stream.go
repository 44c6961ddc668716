package proxy

import (
	"bytes"
	"time"

	"pollux/proxy/follow"
)

// fleetEvery is the shortest time between two events of a fleet's stream.
const fleetEvery = time.Second

// serveFleetStream sends the fleet, and again when it has changed.
func (s *fleetService) serveFleetStream(x *request, v *view) {
	leave, ok := s.enterStream(x, &v.Sight)
	if !ok {
		return
	}
	first, p := s.fleet(v, x.now)
	if p != nil {
		leave()
		x.problem(p)
		return
	}
	r := x.rules
	s.life.takeOver(&x.exchange, "", leave, func(w eventWriter) {
		if w.write(follow.AppendEvent(nil, "fleet", "", marshal(first))) == nil {
			s.streamFleet(w, r, v, first)
		}
	})
}

func (s *fleetService) streamFleet(w eventWriter, r *rules, v *view, last *fleetJSON) {
	wake := make(chan struct{}, 1)
	tick := time.AfterFunc(fleetEvery, func() { wake <- struct{}{} })
	defer tick.Stop()
	s.life.pump(w, wake, func() bool {
		defer tick.Reset(fleetEvery)
		now := time.Now()
		v.look(r, now)
		next, p := s.fleet(v, now)
		if p != nil || sameFleet(last, next) {
			return true
		}
		last = next
		return w.write(follow.AppendEvent(nil, "fleet", "", marshal(next))) == nil
	})
}

// sameFleet reports whether two views differ in nothing but when they were
// taken.
func sameFleet(a, b *fleetJSON) bool {
	was := *a
	was.At = b.At
	if was.Oldest != nil && b.Oldest != nil {
		oldest := *was.Oldest
		oldest.Age = b.Oldest.Age
		was.Oldest = &oldest
	}
	return bytes.Equal(marshal(&was), marshal(b))
}
