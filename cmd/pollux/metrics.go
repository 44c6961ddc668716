package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"pollux/cache"
	"pollux/cache/postgres"
	"pollux/cache/sqlite"
)

// metrics are the process's own series, and those of the tiers, which count for
// themselves.
type metrics struct {
	reloadSuccess, reloadTime prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, memory *cache.Memory, store cache.Store) *metrics {
	m := &metrics{
		reloadSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_config_reload_success", Help: "1 if the last reload of the configuration succeeded, else 0."}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_config_reload_success_timestamp_seconds", Help: "When the configuration in force was loaded."}),
	}
	v, revision := buildVersion()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pollux_build_info", Help: "1, with what was built as labels.",
		ConstLabels: prometheus.Labels{"version": v, "commit": revision}})
	build.Set(1)
	reg.MustRegister(m.reloadSuccess, m.reloadTime, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	memoryMetrics(reg, memory)
	storeMetrics(reg, store)
	return m
}

// reloaded notes how a reload went.
func (m *metrics) reloaded(ok bool) {
	if !ok {
		m.reloadSuccess.Set(0)
		return
	}
	m.reloadSuccess.Set(1)
	m.reloadTime.Set(float64(time.Now().Unix()))
}

func memoryMetrics(reg prometheus.Registerer, memory *cache.Memory) {
	gauge := func(name, help string, of func(cache.MemoryStats) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return of(memory.Stats()) }))
	}
	counter := func(name, help string, of func(cache.MemoryStats) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of(memory.Stats())) }))
	}
	gauge("pollux_memory_bytes", "Weight of the entries in memory.",
		func(s cache.MemoryStats) float64 { return float64(s.DoneBytes + s.LiveBytes) })
	gauge("pollux_memory_max_bytes", "What cache.max_bytes allows them to weigh.",
		func(s cache.MemoryStats) float64 { return float64(s.MaxBytes) })
	counter("pollux_memory_evicted_total", "Entries that made room for others.",
		func(s cache.MemoryStats) uint64 { return uint64(s.Evicted) })
	counter("pollux_memory_dropped_total", "Entries that did not get into memory because it was busy.",
		func(s cache.MemoryStats) uint64 { return uint64(s.Dropped) })
}

func storeMetrics(reg prometheus.Registerer, store cache.Store) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pollux_store_healthy", Help: "1 while writes to the store succeed, else 0."}, func() float64 {
		if store.Healthy() != nil {
			return 0
		}
		return 1
	}))
	if db, ok := store.(*postgres.Store); ok {
		sharedMetrics(reg, db)
	}
	db, ok := store.(*sqlite.Store)
	if !ok {
		return
	}
	gauge := func(name, help string, of func(sqlite.Stats) int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(of(db.Stats())) }))
	}
	counter := func(name, help string, of func(sqlite.Stats) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of(db.Stats())) }))
	}
	gauge("pollux_store_queue", "Writes waiting for the store.", func(s sqlite.Stats) int { return s.Queued })
	gauge("pollux_store_queue_limit", "How many writes may wait.", func(s sqlite.Stats) int { return s.QueueLimit })
	counter("pollux_store_dropped_total", "Writes that may be lost, lost under load.", func(s sqlite.Stats) uint64 { return s.Dropped })
	counter("pollux_store_reject_total", "Stored values that could not be opened and count as missing.", func(s sqlite.Stats) uint64 { return s.Unreadable })
	counter("pollux_store_replaced_total", "Times a damaged store file was moved aside.", func(s sqlite.Stats) uint64 { return s.Replaced })
}

// sharedMetrics are of a store that several replicas share.
func sharedMetrics(reg prometheus.Registerer, db *postgres.Store) {
	gauge := func(name, help string, of func(postgres.Stats) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return of(db.Stats()) }))
	}
	counter := func(name, help string, of func(postgres.Stats) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(of(db.Stats())) }))
	}
	gauge("pollux_store_queue", "Writes waiting for the store.", func(s postgres.Stats) float64 { return float64(s.Queued) })
	gauge("pollux_store_queue_limit", "How many writes may wait.", func(s postgres.Stats) float64 { return float64(s.QueueLimit) })
	counter("pollux_store_dropped_total", "Writes that may be lost, lost under load.", func(s postgres.Stats) uint64 { return s.Dropped })
	counter("pollux_store_reject_total", "Stored values that could not be opened and count as missing.", func(s postgres.Stats) uint64 { return s.Unreadable })
	gauge("pollux_store_connections", "Connections to the database.", func(s postgres.Stats) float64 { return float64(s.Connections) })
	gauge("pollux_notice_lag_seconds", "How long the last notice of this replica took to be heard; 0 where they are read from a table.", func(s postgres.Stats) float64 { return s.Lag.Seconds() })
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pollux_notices_current", Help: "1 while notices of other replicas flow, else 0."}, func() float64 {
		if db.Current() {
			return 1
		}
		return 0
	}))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pollux_replicas", Help: "Replicas that live and share the store."}, func() float64 {
		return float64(len(db.Members().All))
	}))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pollux_slots_owned", Help: "Of 1,024 slots, how many this replica looks after."}, func() float64 {
		return float64(db.Members().Owned())
	}))
}
