package config

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"pollux/providers/strictyaml"
)

const (
	// mostCache is the most that the memory tier takes unless it is told to.
	mostCache = 256 << 20
	// besideCache is what the process needs beside the memory tier, with the
	// default limits: 20,000 connections at some 16 KiB, bodies under way.
	besideCache = 512 << 20
	// outsideHeap is what the garbage collector does not see: the store's page
	// caches, which are allocated as C would and are some 30 MiB, the program's own
	// pages, the kernel's buffers for files and sockets that a container is charged
	// for. Where that does not fit, the kernel reads the program anew all the time,
	// until it ends it.
	outsideHeap = 64 << 20
)

// usableMemory is how many bytes this process may use: the limit of its cgroup
// (v1 or v2), or what the machine has if that is less or there is none.
func usableMemory() int64 {
	least := uint64(math.MaxInt64)
	for _, limit := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if n, err := limit(); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	return int64(least)
}

// defaultCache is the memory tier where the config is silent: a quarter of what
// is usable, since entries weigh up to twice their size between two collections
// and the rest needs as much again.
func defaultCache(usable int64) strictyaml.Bytes {
	return strictyaml.Bytes(max(min(usable/4, mostCache), 1<<20))
}

// memoryLimit is where the garbage collector has to work harder: before the
// process grows past what the memory tier is configured to, and before the
// kernel would end it.
func memoryLimit(cache strictyaml.Bytes, usable int64) int64 {
	return min(2*int64(cache)+besideCache, usable-max(usable/10, min(outsideHeap, usable/4)))
}

// LimitMemory tells the garbage collector of it; GOMEMLIMIT in the environment wins.
func LimitMemory(cache strictyaml.Bytes, env func(string) (string, bool)) {
	if _, set := env("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit(cache, usableMemory()))
	}
}
