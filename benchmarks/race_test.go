//go:build race

package benchmarks

// raceEnabled says that the race detector watches: rounds are then fewer, and
// the clients, which are watched too, slower.
const raceEnabled = true
