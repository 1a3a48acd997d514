package tlsserver

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// Metrics are the figures of TLS.
type Metrics struct {
	handshakes *prometheus.CounterVec
	duration   prometheus.Histogram
	waiting    prometheus.Gauge
	agreed     *prometheus.CounterVec
	unused     *prometheus.CounterVec
	reloads    *prometheus.CounterVec
	notAfter   atomic.Int64 // Unix seconds
}

// The results of a handshake that succeeded; see Reason for the others.
const (
	resultOK      = "ok"
	resultResumed = "resumed"
)

// NewMetrics registers the metrics of TLS.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		handshakes: to.Counters("teltonika_tls_handshakes_total",
			"TLS handshakes by result: ok, resumed, or why they failed. See docs/tls.md#what-fails-how.", "result"),
		duration: to.Histogram("teltonika_tls_handshake_duration_seconds",
			"From a device's first bytes to the end of a successful TLS handshake, network included.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}),
		waiting: to.Gauge("teltonika_tls_handshakes_waiting",
			"TLS handshakes that wait for a processor. Half of the processors are for handshakes, the rest is for "+
				"devices that are connected."),
		agreed: to.Counters("teltonika_tls_agreed_total",
			"Successful TLS handshakes by version and cipher suite: what devices need, to be looked at before "+
				"TLS_MIN_VERSION or the kind of key changes.", "version", "suite"),
		unused: to.Counters("teltonika_tls_unused_total",
			"TLS connections that the device left without a word right after the handshake. Reasons as of "+
				"teltonika_tls_handshakes_total.", "reason"),
		reloads: to.Counters("teltonika_tls_certificate_reloads_total",
			"Loads of the TLS files: ok, or failed, which leaves the certificate in use. The first is the start's.", "result"),
	}
	to.GaugeFunc("teltonika_tls_certificate_expiry_seconds",
		"Time until the first certificate of the TLS chain in use expires; negative when it has.",
		func() float64 { return m.left().Seconds() })
	to.GaugeFunc("teltonika_tls_certificate_expiry_days",
		"Old name of teltonika_tls_certificate_expiry_seconds, in days.", func() float64 { return m.left().Hours() / 24 })
	for _, result := range []string{resultOK, resultResumed} {
		m.handshakes.WithLabelValues(result)
	}
	for _, reason := range Reasons {
		m.handshakes.WithLabelValues(string(reason))
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
	return m
}

// left is how long the certificate is valid.
func (m *Metrics) left() time.Duration { return time.Until(time.Unix(m.notAfter.Load(), 0)) }

func (m *Metrics) succeeded(state tls.ConnectionState, d time.Duration) {
	result := resultOK
	if state.DidResume {
		result = resultResumed
	}
	m.handshakes.WithLabelValues(result).Inc()
	m.duration.Observe(d.Seconds())
	m.agreed.WithLabelValues(tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)).Inc()
}

func (m *Metrics) failed(reason Reason)     { m.handshakes.WithLabelValues(string(reason)).Inc() }
func (m *Metrics) leftUnused(reason Reason) { m.unused.WithLabelValues(string(reason)).Inc() }

func (m *Metrics) reloaded(ok bool) {
	result := "failed"
	if ok {
		result = "ok"
	}
	m.reloads.WithLabelValues(result).Inc()
}
