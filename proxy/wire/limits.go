package wire

import (
	"strconv"
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

// RowLimit reads how many rows a list shall have at most, from 1 to most and
// without a sign, or says what was wanted instead.
func RowLimit(sent string, most int) (n int, wrong string) {
	limit, err := strconv.ParseUint(sent, 10, 16)
	if err != nil || limit < 1 || limit > uint64(most) {
		return 0, "wants a number from 1 to " + strconv.Itoa(most)
	}
	return int(limit), ""
}
