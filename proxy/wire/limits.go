package wire

import (
	"time"

	"pollux/providers/strictyaml"
)

// Limits bounds what callers can take. None may be zero.
type Limits struct {
	Connections         int              `yaml:"connections"`
	ConnectionsPerIP    int              `yaml:"connections_per_ip"` // per /64 for IPv6
	MissesPerPartition  Rate             `yaml:"misses_per_partition"`
	Wait                time.Duration    `yaml:"wait"`  // longest Prefer: wait
	Batch               int              `yaml:"batch"` // references in one batch
	Streams             int              `yaml:"streams"`
	StreamsPerPartition int              `yaml:"streams_per_partition"`
	WaitsPerPartition   int              `yaml:"waits_per_partition"`
	WatchedTasks        int              `yaml:"watched_tasks"`
	RequestHeaderBytes  strictyaml.Bytes `yaml:"request_header_bytes"`
}

// Rate is a token bucket.
type Rate struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}
