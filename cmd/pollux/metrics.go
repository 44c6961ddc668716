package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

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
	all := registered{promauto.With(reg)}
	v, revision := buildVersion()
	all.NewGauge(prometheus.GaugeOpts{Name: "pollux_build_info", Help: "1, with what was built as labels.",
		ConstLabels: prometheus.Labels{"version": v, "commit": revision}}).Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	all.ofMemory(memory)
	all.ofStore(store)
	return &metrics{
		reloadSuccess: all.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_config_reload_success", Help: "1 if the last reload of the configuration succeeded, else 0."}),
		reloadTime: all.NewGauge(prometheus.GaugeOpts{
			Name: "pollux_config_reload_success_timestamp_seconds", Help: "When the configuration in force was loaded."}),
	}
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

// registered registers what is counted elsewhere, and read when somebody asks.
type registered struct{ promauto.Factory }

func (s registered) gauge(name, help string, of func() float64) {
	s.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of)
}

func (s registered) counter(name, help string, of func() uint64) {
	s.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(of()) })
}

// oneIf is 1 for what holds, else 0.
func oneIf(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

func (s registered) ofMemory(m *cache.Memory) {
	s.gauge("pollux_memory_bytes", "Weight of the entries in memory.", func() float64 { st := m.Stats(); return float64(st.DoneBytes + st.LiveBytes) })
	s.gauge("pollux_memory_max_bytes", "What cache.max_bytes allows them to weigh.", func() float64 { return float64(m.Stats().MaxBytes) })
	s.counter("pollux_memory_evicted_total", "Entries that made room for others.", func() uint64 { return m.Stats().Evicted })
	s.counter("pollux_memory_dropped_total", "Entries that did not get into memory because it was busy.", func() uint64 { return m.Stats().Dropped })
}

// ofWrites is what both stores count.
func (s registered) ofWrites(stats func() sqlite.Stats) {
	s.gauge("pollux_store_queue", "Writes waiting for the store.", func() float64 { return float64(stats().Queued) })
	s.gauge("pollux_store_queue_limit", "How many writes may wait.", func() float64 { return float64(stats().QueueLimit) })
	s.counter("pollux_store_dropped_total", "Writes that may be lost, lost under load.", func() uint64 { return stats().Dropped })
	s.counter("pollux_store_reject_total", "Stored values that could not be opened and count as missing.", func() uint64 { return stats().Unreadable })
}

func (s registered) ofStore(store cache.Store) {
	s.gauge("pollux_store_healthy", "1 while writes to the store succeed, else 0.", func() float64 { return oneIf(store.Healthy() == nil) })
	switch db := store.(type) {
	case *sqlite.Store:
		s.ofWrites(db.Stats)
		s.counter("pollux_store_replaced_total", "Times a damaged store file was moved aside.", func() uint64 { return db.Stats().Replaced })
	case *postgres.Store:
		s.ofWrites(func() sqlite.Stats {
			st := db.Stats()
			return sqlite.Stats{Queued: st.Queued, QueueLimit: st.QueueLimit, Dropped: st.Dropped, Unreadable: st.Unreadable}
		})
		s.gauge("pollux_store_connections", "Connections to the database.", func() float64 { return float64(db.Stats().Connections) })
		s.gauge("pollux_notice_lag_seconds", "How long the last notice of this replica took to be heard; 0 where they are read from a table.", func() float64 { return db.Stats().Lag.Seconds() })
		s.gauge("pollux_notices_current", "1 while notices of other replicas flow, else 0.", func() float64 { return oneIf(db.Current()) })
		s.gauge("pollux_replicas", "Replicas that live and share the store.", func() float64 { return float64(len(db.Members().All)) })
		s.gauge("pollux_slots_owned", "Of 1,024 slots, how many this replica looks after.", func() float64 { return float64(db.Members().Owned()) })
	}
}
