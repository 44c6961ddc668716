package poller

import (
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"

	"pollux/cache"
)

// flights merges polls of one key. Publishing an entry and forgetting one are
// critical sections of the key's stripe; a flight that was under way when its
// task was forgotten is fenced: it may answer its callers, and stores nothing.
type flights struct {
	group   singleflight.Group
	stripes [1024]stripe
}

type stripe struct {
	sync.Mutex                        // guards publishing and forgetting of the keys that fall here
	flying     map[cache.ID][]*flight // under way; more than one only after a fence
}

// flight is one poll that everybody who asks meanwhile waits for.
type flight struct {
	key    cache.ID
	fenced bool // guarded by the stripe
}

func (fs *flights) init() {
	for i := range fs.stripes {
		fs.stripes[i].flying = map[cache.ID][]*flight{}
	}
}

func (fs *flights) stripe(key *cache.ID) *stripe {
	return &fs.stripes[binary.LittleEndian.Uint64(key[8:16])%uint64(len(fs.stripes))]
}

func (fs *flights) begin(key *cache.ID) *flight {
	f := &flight{key: *key}
	s := fs.stripe(key)
	s.Lock()
	s.flying[*key] = append(s.flying[*key], f)
	s.Unlock()
	return f
}

func (fs *flights) end(f *flight) {
	s := fs.stripe(&f.key)
	s.Lock()
	if left := slices.DeleteFunc(s.flying[f.key], func(g *flight) bool { return g == f }); len(left) > 0 {
		s.flying[f.key] = left
	} else {
		delete(s.flying, f.key)
	}
	s.Unlock()
}

// fence keeps the flight under way from storing, and lets the next caller
// start another one. The stripe must be locked.
func (fs *flights) fence(s *stripe, key *cache.ID) {
	for _, f := range s.flying[*key] {
		f.fenced = true
	}
	fs.group.Forget(string(key[:]))
}
