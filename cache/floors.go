package cache

import (
	"maps"
	"time"
)

const (
	// forgottenFor is how long a Floors keeps a generation: longer than any
	// poll that began before it was left behind.
	forgottenFor = time.Hour
	// maxFloors bounds the generations of a Floors. Whoever forgets more tasks
	// than this in an hour may see a late answer stored.
	maxFloors = 1 << 17
)

// Floors are the generations that forgotten tasks left behind. It belongs to
// one goroutine; the zero value is empty.
type Floors struct {
	byKey map[ID]floor
	swept time.Time
}

type floor struct {
	generation uint64
	at         time.Time
}

// Leave keeps a generation of key.
func (f *Floors) Leave(key *ID, generation uint64, now time.Time) {
	if f.byKey == nil {
		f.byKey = map[ID]floor{}
	}
	if now.Sub(f.swept) > time.Minute {
		f.swept = now
		maps.DeleteFunc(f.byKey, func(_ ID, left floor) bool { return now.Sub(left.at) > forgottenFor })
	}
	if len(f.byKey) < maxFloors {
		f.byKey[*key] = floor{generation, now}
	}
}

// Floor is the generation below which nothing of key is believed, 0 if none was
// left behind.
func (f *Floors) Floor(key *ID, now time.Time) uint64 {
	if left, ok := f.byKey[*key]; ok && now.Sub(left.at) <= forgottenFor {
		return left.generation
	}
	return 0
}
