package authority

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are a list's figures.
type Metrics struct {
	devices   prometheus.Gauge
	refreshes *prometheus.CounterVec
	loadedAt  atomic.Pointer[time.Time] // with the monotonic clock, so that steps of the wall clock do not show
}

// NewMetrics registers a list's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		devices: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "teltonika_allow_list_devices",
			Help: "Devices on the allow-list in use; absent with allow_all.",
		}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teltonika_allow_list_refresh_total",
			Help: "Readings of the allow-list's source: ok, failed, or empty, which STRICT_DEVICE_AUTH does not take over. " +
				"Absent with allow_all.",
		}, []string{"result"}),
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "teltonika_allow_list_age_seconds",
		Help: "Time since the source last confirmed the allow-list in use; since the start if it never has. Absent with " +
			"allow_all.",
	}, m.age)
	m.loaded()
	for _, result := range []string{resultOK, resultFailed, resultEmpty} {
		m.refreshes.WithLabelValues(result)
	}
	r.MustRegister(m.devices, m.refreshes, age)
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
