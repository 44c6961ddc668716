package fleet

import (
	"bytes"
	"time"

	"pollux/proxy/access"
	"pollux/proxy/follow"
	"pollux/proxy/wire"
)

// fleetEvery is the shortest time between two events of a fleet's stream.
const fleetEvery = time.Second

// serveFleetStream sends the fleet, and again when it has changed.
func (s *Service) serveFleetStream(x *access.Request, v *access.Reach, span time.Duration) {
	leave, ok := s.enterStream(x, &v.Sight)
	if !ok {
		return
	}
	first, p := s.fleet(v, span, x.Now)
	if p != nil {
		leave()
		x.Problem(p)
		return
	}
	g := x.ReachGrant()
	s.life.TakeOver(&x.Exchange, "", leave, func(w wire.EventWriter) {
		if w.Send(follow.AppendEvent(nil, "fleet", "", wire.Marshal(first))) == nil {
			s.streamFleet(w, g, v, span, first)
		}
	})
}

func (s *Service) streamFleet(w wire.EventWriter, g *access.Grant, v *access.Reach, span time.Duration, last *document) {
	wake := make(chan struct{}, 1)
	tick := time.AfterFunc(fleetEvery, func() { wake <- struct{}{} })
	defer tick.Stop()
	s.life.Pump(w, g, wake, func() bool {
		defer tick.Reset(fleetEvery)
		now := time.Now()
		v.Look(g.Rules, now)
		next, p := s.fleet(v, span, now)
		if p != nil || sameFleet(last, next) {
			return true
		}
		last = next
		return w.Send(follow.AppendEvent(nil, "fleet", "", wire.Marshal(next))) == nil
	})
}

// sameFleet reports whether two documents differ in nothing but when they were
// taken.
func sameFleet(a, b *document) bool {
	was := *a
	was.At = b.At
	if was.Oldest != nil && b.Oldest != nil {
		oldest := *was.Oldest
		oldest.Age = b.Oldest.Age
		was.Oldest = &oldest
	}
	return bytes.Equal(wire.Marshal(&was), wire.Marshal(b))
}
