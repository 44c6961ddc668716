package config

import (
	"testing"

	"pollux/providers/strictyaml"
)

func TestMemoryFollowsTheContainer(t *testing.T) {
	const MiB = 1 << 20
	for _, test := range []struct {
		name          string
		usable        int64
		cache         strictyaml.Bytes // what the config says; 0: nothing
		wantCache     strictyaml.Bytes
		wantCollector int64
	}{
		{"a large machine", 64 << 30, 0, 256 * MiB, 1024 * MiB},
		{"a large machine, told to take more", 64 << 30, 1024 * MiB, 1024 * MiB, 2560 * MiB},
		{"a container of 1 GiB", 1024 * MiB, 0, 256 * MiB, 1024*MiB - 1024*MiB/10},
		{"a container of 256 MiB", 256 * MiB, 0, 64 * MiB, 192 * MiB},
		{"a container of 64 MiB", 64 * MiB, 0, 16 * MiB, 48 * MiB},
		{"a container of 2 MiB", 2 * MiB, 0, MiB, 2*MiB - MiB/2},
		{"a container smaller than what the config says", 256 * MiB, 512 * MiB, 512 * MiB, 192 * MiB},
	} {
		t.Run(test.name, func(t *testing.T) {
			cache := test.cache
			if cache == 0 {
				cache = defaultCache(test.usable)
			}
			if cache != test.wantCache {
				t.Errorf("memory tier: got %v, want %v", cache, test.wantCache)
			}
			if got := memoryLimit(cache, test.usable); got != test.wantCollector {
				t.Errorf("limit: got %v, want %v", strictyaml.Bytes(got), strictyaml.Bytes(test.wantCollector))
			}
		})
	}
	if usable := usableMemory(); usable < 16*MiB || usable > 1<<50 {
		t.Errorf("this machine seems to have %d bytes", usable)
	}
}
