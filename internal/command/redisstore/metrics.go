package redisstore

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// The work that goes on in the background, by which failures are counted.
const (
	workBeat  = "heartbeat"
	workRead  = "read"
	workSweep = "sweep"
	workClean = "clean"
)

// metrics are the store's counters. What becomes of commands is counted where they are carried out.
type metrics struct {
	failures  *prometheus.CounterVec
	takenOver prometheus.Counter
}

// newMetrics registers them, unless there is nobody to register with.
func newMetrics(r prometheus.Registerer) *metrics {
	to := metric.For(r)
	m := &metrics{
		failures: to.Counters("teltonika_command_redis_failures_total",
			"Failures of the command store's work in the background, which is repeated: heartbeat, read, sweep or "+
				"clean. Only with Redis.", "work"),
		takenOver: to.Counter("teltonika_commands_taken_over_total",
			"Commands that this instance has moved on from dead ones. Only with Redis."),
	}
	for _, work := range []string{workBeat, workRead, workSweep, workClean} {
		m.failures.WithLabelValues(work)
	}
	return m
}
