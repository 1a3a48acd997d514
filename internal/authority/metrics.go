package authority

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// Metrics are a list's figures.
type Metrics struct {
	devices   prometheus.Gauge
	refreshes *prometheus.CounterVec
	loadedAt  atomic.Pointer[time.Time] // with the monotonic clock, so that steps of the wall clock do not show
}

// NewMetrics registers a list's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		devices: to.Gauge("teltonika_allow_list_devices",
			"Devices on the allow-list in use; absent with allow_all."),
		refreshes: to.Counters("teltonika_allow_list_refresh_total",
			"Readings of the allow-list's source: ok, failed, or empty, which STRICT_DEVICE_AUTH does not take over. "+
				"Absent with allow_all.", "result"),
	}
	to.GaugeFunc("teltonika_allow_list_age_seconds",
		"Time since the source last confirmed the allow-list in use; since the start if it never has. Absent with "+
			"allow_all.", m.age)
	m.loaded()
	for _, result := range []string{resultOK, resultFailed, resultEmpty} {
		m.refreshes.WithLabelValues(result)
	}
	return m
}

const (
	resultOK     = "ok"
	resultFailed = "failed"
	resultEmpty  = "empty"
)

func (m *Metrics) refreshed(result string) { m.refreshes.WithLabelValues(result).Inc() }

func (m *Metrics) loaded() {
	now := time.Now()
	m.loadedAt.Store(&now)
}

func (m *Metrics) age() float64 { return time.Since(*m.loadedAt.Load()).Seconds() }
