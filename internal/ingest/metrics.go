package ingest

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the connections' figures.
type Metrics struct {
	active   prometheus.Gauge
	unproven prometheus.Gauge
	ended    *prometheus.CounterVec
}

// NewMetrics registers the connections' metrics. The registerer adds the prefix that names the protocol.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "connections_active",
			Help: "Open device connections.",
		}),
		unproven: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "connections_unproven",
			Help: "Open device connections on which no frame is acknowledged, of devices that are not known otherwise. See " +
				"OPERATIONS.md#who-gets-in.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "connections_closed_total",
			Help: "Device connections that ended, by reason: see docs/reference/close-reasons.md.",
		}, []string{"reason", "transport"}),
	}
	r.MustRegister(m.active, m.unproven, m.ended)
	// An increase is not seen in a series that begins with it.
	for _, reason := range []CloseReason{ReasonPeerClosed, ReasonIOError, ReasonTakenOver, ReasonRevoked, ReasonShutdown,
		ReasonLimit, ReasonCrowdedOut, ReasonRateLimited, ReasonPanic, ReasonIdleTimeout, ReasonHandshakeTimeout, ReasonTLS,
		ReasonProxyHeader, ReasonHealthCheck} {
		m.ended.WithLabelValues(string(reason), plain)
	}
	return m
}

func (m *Metrics) closed(reason CloseReason, transport string) {
	m.ended.WithLabelValues(string(reason), transport).Inc()
}
