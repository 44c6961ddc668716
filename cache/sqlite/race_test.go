//go:build race

package sqlite

// raceEnabled says that the race detector watches, under which SQLite, which is
// compiled to Go, takes ten times as long.
const raceEnabled = true
