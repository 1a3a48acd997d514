package teltonikasession

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Metrics are the sessions' figures. The ledger balances at any time at which no frame is in hand: records received =
// published + duplicate + dead-lettered + refused, messages received = stored + answers + dead-lettered + refused.
type Metrics struct {
	handshakes         *prometheus.CounterVec
	framesTotal        *prometheus.CounterVec
	receivedTotal      *prometheus.CounterVec
	publishedTotal     *prometheus.CounterVec
	duplicateTotal     *prometheus.CounterVec
	deadLetteredTotal  *prometheus.CounterVec
	refusedTotal       *prometheus.CounterVec
	unknownCodecTotal  *prometheus.CounterVec
	messages           messageMetrics
	priorityOutOfRange prometheus.Counter
	ackLatencySeconds  *prometheus.HistogramVec
	lengthMismatch     prometheus.Counter
	datagramDevices    atomic.Pointer[datagramDevices] // set by New

	tcp, tls, udp *transportMetrics
}

// NewMetrics registers the sessions' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		handshakes: counters("teltonika_handshake_total",
			"Logins, by result, by whether the device is known, and by transport; over udp datagrams that are refused.",
			"result", "known", "transport"),
		framesTotal: counters("teltonika_frames_total",
			"Whole frames and datagrams, by codec, result and transport.", "codec", "result", "transport"),
		receivedTotal: counters("teltonika_records_received_total",
			"AVL records in datagrams and in frames with a right CRC, by codec and transport.", "codec", "transport"),
		publishedTotal: counters("teltonika_records_published_total",
			"AVL records stored for the first time, by codec and transport.", "codec", "transport"),
		duplicateTotal: counters("teltonika_records_duplicate_total",
			"AVL records sent again that had been stored before, by transport.", "transport"),
		deadLetteredTotal: counters("teltonika_records_dead_lettered_total",
			"AVL records kept as dead letters, by reason and transport.", "reason", "transport"),
		refusedTotal: counters("teltonika_records_refused_total",
			"AVL records not acknowledged, which the device sends again, by reason and transport.", "reason", "transport"),
		unknownCodecTotal: counters("teltonika_unknown_codec_total",
			"Frames of a codec that is not decoded, by codec id.", "codec_id"),
		priorityOutOfRange: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "teltonika_priority_out_of_range_total",
			Help: "AVL records with a priority above 2, published as sent; in Codec 7 3 is an alarm and not counted.",
		}),
		ackLatencySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "teltonika_ack_latency_seconds",
			Help:    "Time from a frame's last byte read to its ACK written, by transport.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"transport"}),
		lengthMismatch: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "teltonika_udp_length_mismatch_total",
			Help: "Datagrams whose length field is not their length, taken all the same.",
		}),
	}
	m.messages = newMessageMetrics(r)
	r.MustRegister(m.handshakes, m.framesTotal, m.receivedTotal, m.publishedTotal, m.duplicateTotal,
		m.deadLetteredTotal, m.refusedTotal, m.unknownCodecTotal, m.priorityOutOfRange, m.ackLatencySeconds,
		m.lengthMismatch, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "teltonika_udp_devices_active",
			Help: "Devices that have sent a datagram within the idle timeout.",
		}, m.countDatagramDevices))
	m.tcp, m.tls, m.udp = m.newTransport(transportTCP), m.newTransport(transportTLS), m.newTransport(transportUDP)
	return m
}

func (m *Metrics) countDatagramDevices() float64 {
	if d := m.datagramDevices.Load(); d != nil {
		return float64(d.count(time.Now()))
	}
	return 0
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) unknownCodec(c teltonika.Codec) {
	m.unknownCodecTotal.WithLabelValues(hexID(c)).Inc()
}

// hexID is the codec id as a label: two hex digits, whether or not the codec has a name.
func hexID(c teltonika.Codec) string { return fmt.Sprintf("0x%02x", byte(c)) }
