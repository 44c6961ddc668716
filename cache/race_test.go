//go:build race

package cache

// raceEnabled: the race detector makes sync.Pool forget at random, and so
// everything that is pooled allocate.
const raceEnabled = true
