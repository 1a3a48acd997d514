package teltonikasession

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Metrics are the sessions' metrics. The ledger balances at any time at which no frame is in hand: records received =
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
	to := metric.For(r)
	m := &Metrics{
		messages: newMessageMetrics(to),
		handshakes: to.Counters("teltonika_handshake_total",
			"Logins by result: accepted, rejected (unknown under STRICT_DEVICE_AUTH) or malformed, of devices that are known "+
				"or unknown to the device authority. Over udp nobody logs in, and only datagrams refused for their header count.",
			"result", "known", "transport"),
		framesTotal: to.Counters("teltonika_frames_total",
			"Whole frames and datagrams by result: ok, crc_fail, malformed, unknown_codec, overflow (queue full, or too many "+
				"large frames at once) or publish_error. The codec is unknown if it has no name.", "codec", "result", "transport"),
		receivedTotal: to.Counters("teltonika_records_received_total",
			"AVL records received: in datagrams, and in frames with a right CRC.", "codec", "transport"),
		publishedTotal: to.Counters("teltonika_records_published_total",
			"Received records stored for the first time, and confirmed in time.", "codec", "transport"),
		duplicateTotal: to.Counters("teltonika_records_duplicate_total",
			"Received records that the device had sent before, and that were stored then.", "transport"),
		deadLetteredTotal: to.Counters("teltonika_records_dead_lettered_total",
			"Received records kept as dead letters: malformed (the frame cannot be decoded), timestamp (beyond the year "+
				"9999) or too_large (for the engine); unknown_codec stays 0.", "reason", "transport"),
		refusedTotal: to.Counters("teltonika_records_refused_total",
			"Received records not acknowledged, to be sent again: overflow (over udp also above 20,000 records/s), timeout, "+
				"draining, dead_letters (too many of one device, or too many bytes of an address or of all), unlisted (too "+
				"many of a device on no list), moved_on (the device has sent records elsewhere meanwhile) or engine.",
			"reason", "transport"),
		unknownCodecTotal: to.Counters("teltonika_unknown_codec_total",
			"Frames of a codec that is not decoded. Their number of records is not known, so they are not in the ledger.",
			"codec_id"),
		priorityOutOfRange: to.Counter("teltonika_priority_out_of_range_total",
			"AVL records with a priority above 2, published as sent. In Codec 7 3 is an alarm and not counted."),
		ackLatencySeconds: to.Histograms("teltonika_ack_latency_seconds",
			"Time from a frame's last byte read to its ACK written, of acknowledged frames. Devices give up after "+
				"about 30 s.", prometheus.ExponentialBuckets(0.0005, 2, 16), "transport"),
		lengthMismatch: to.Counter("teltonika_udp_length_mismatch_total",
			"Datagrams whose length field is wrong, taken all the same. Zeros behind a right length are no part of the "+
				"packet and not counted."),
	}
	to.GaugeFunc("teltonika_udp_devices_active",
		"Devices that have sent a datagram within IDLE_TIMEOUT; 65,536 at the most.", m.countDatagramDevices)
	m.tcp, m.tls, m.udp = m.newTransport(transportTCP), m.newTransport(transportTLS), m.newTransport(transportUDP)
	return m
}

func (m *Metrics) countDatagramDevices() float64 {
	if d := m.datagramDevices.Load(); d != nil {
		return float64(d.count(time.Now()))
	}
	return 0
}

func (m *Metrics) unknownCodec(c teltonika.Codec) {
	m.unknownCodecTotal.WithLabelValues(hexID(c)).Inc()
}

// hexID is the codec id as a label: two hex digits, whether or not the codec has a name.
func hexID(c teltonika.Codec) string { return fmt.Sprintf("0x%02x", byte(c)) }
