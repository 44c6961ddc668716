package main

import (
	"runtime/debug"

	"pollux/providers/strictyaml"
)

// besideCache is what the process needs beside the memory tier, with the
// default limits: 20,000 connections at some 16 KiB, bodies under way, the
// store's page cache.
const besideCache = 512 << 20

// limitMemory makes the garbage collector work harder before the process grows
// past what the memory tier is configured to. Entries weigh up to twice their
// size between two collections. GOMEMLIMIT in the environment wins.
func limitMemory(cache strictyaml.Bytes, env func(string) (string, bool)) {
	if _, set := env("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(2*int64(cache) + besideCache)
	}
}
