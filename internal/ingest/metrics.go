package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// Metrics are the connections' figures.
type Metrics struct {
	active   prometheus.Gauge
	unproven prometheus.Gauge
	ended    *prometheus.CounterVec
}

// NewMetrics registers the connections' metrics. The registerer adds the prefix that names the protocol.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		active: to.Gauge("connections_active",
			"Open device connections."),
		unproven: to.Gauge("connections_unproven",
			"Open device connections on which no frame is acknowledged, of devices that are not known otherwise. See "+
				"docs/sizing.md#who-gets-in."),
		ended: to.Counters("connections_closed_total",
			"Device connections that ended, by reason: see docs/reference/close-reasons.md.", "reason", "transport"),
	}
	// An increase is not seen in a series that begins with it.
	for _, reason := range []CloseReason{ReasonPeerClosed, ReasonIOError, ReasonTakenOver, ReasonRevoked, ReasonShed,
		ReasonShutdown, ReasonLimit, ReasonCrowdedOut, ReasonRateLimited, ReasonPanic, ReasonIdleTimeout,
		ReasonHandshakeTimeout, ReasonTLS, ReasonProxyHeader, ReasonHealthCheck} {
		m.ended.WithLabelValues(string(reason), plain)
	}
	return m
}

func (m *Metrics) closed(reason CloseReason, transport string) {
	m.ended.WithLabelValues(string(reason), transport).Inc()
}
