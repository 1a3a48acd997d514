package tlsserver

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	m := &Metrics{
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teltonika_tls_handshakes_total",
			Help: "TLS handshakes by result: ok, resumed, or why they failed. See docs/tls.md#what-fails-how.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "teltonika_tls_handshake_duration_seconds",
			Help:    "From a device's first bytes to the end of a successful TLS handshake, network included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "teltonika_tls_handshakes_waiting",
			Help: "TLS handshakes that wait for a processor. Half of the processors are for handshakes, the rest is for " +
				"devices that are connected.",
		}),
		agreed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teltonika_tls_agreed_total",
			Help: "Successful TLS handshakes by version and cipher suite: what devices need, to be looked at before " +
				"TLS_MIN_VERSION or the kind of key changes.",
		}, []string{"version", "suite"}),
		unused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teltonika_tls_unused_total",
			Help: "TLS connections that the device left without a word right after the handshake. Reasons as of " +
				"teltonika_tls_handshakes_total.",
		}, []string{"reason"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teltonika_tls_certificate_reloads_total",
			Help: "Loads of the TLS files: ok, or failed, which leaves the certificate in use. The first is the start's.",
		}, []string{"result"}),
	}
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "teltonika_tls_certificate_expiry_days",
		Help: "Days until the first certificate of the TLS chain in use expires; negative when it has.",
	}, m.daysLeft)
	r.MustRegister(m.handshakes, m.duration, m.waiting, m.agreed, m.unused, m.reloads, expiry)
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

func (m *Metrics) daysLeft() float64 {
	return time.Until(time.Unix(m.notAfter.Load(), 0)).Hours() / 24
}

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
