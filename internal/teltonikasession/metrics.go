package teltonikasession

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Metrics are the sessions' figures. The ledger balances at any time at which no frame is in hand: received =
// published + duplicate + dead-lettered + refused.
type Metrics struct {
	handshakes         *prometheus.CounterVec
	framesTotal        *prometheus.CounterVec
	receivedTotal      *prometheus.CounterVec
	publishedTotal     *prometheus.CounterVec
	duplicateTotal     prometheus.Counter
	deadLetteredTotal  *prometheus.CounterVec
	refusedTotal       *prometheus.CounterVec
	unknownCodecTotal  *prometheus.CounterVec
	priorityOutOfRange prometheus.Counter
	ackLatency         prometheus.Histogram

	// The counters of good frames, looked up once.
	byCodec map[teltonika.Codec]codecCounters
}

type codecCounters struct{ ok, received, published prometheus.Counter }

// NewMetrics registers the sessions' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		handshakes: counters("teltonika_handshake_total",
			"Logins, by result and by whether the device is known.", "result", "known"),
		framesTotal: counters("teltonika_frames_total",
			"Whole frames, by codec and result.", "codec", "result"),
		receivedTotal: counters("teltonika_records_received_total",
			"AVL records in frames with a right CRC, by codec.", "codec"),
		publishedTotal: counters("teltonika_records_published_total",
			"AVL records stored for the first time, by codec.", "codec"),
		duplicateTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "teltonika_records_duplicate_total",
			Help: "AVL records sent again that had been stored before.",
		}),
		deadLetteredTotal: counters("teltonika_records_dead_lettered_total",
			"AVL records kept as dead letters, by reason.", "reason"),
		refusedTotal: counters("teltonika_records_refused_total",
			"AVL records not acknowledged, which the device sends again, by reason.", "reason"),
		unknownCodecTotal: counters("teltonika_unknown_codec_total",
			"Frames of a codec that is not decoded, by codec id.", "codec_id"),
		priorityOutOfRange: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "teltonika_priority_out_of_range_total",
			Help: "AVL records with a priority above 2, published as sent.",
		}),
		ackLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "teltonika_ack_latency_seconds",
			Help:    "Time from a frame's last byte read to its ACK written.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		byCodec: make(map[teltonika.Codec]codecCounters),
	}
	r.MustRegister(m.handshakes, m.framesTotal, m.receivedTotal, m.publishedTotal, m.duplicateTotal,
		m.deadLetteredTotal, m.refusedTotal, m.unknownCodecTotal, m.priorityOutOfRange, m.ackLatency)
	for _, c := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		name := c.String()
		m.byCodec[c] = codecCounters{
			ok:        m.framesTotal.WithLabelValues(name, "ok"),
			received:  m.receivedTotal.WithLabelValues(name),
			published: m.publishedTotal.WithLabelValues(name),
		}
	}
	m.beginAtZero()
	return m
}

// beginAtZero shows what has not happened yet, because an increase is not seen in a series that begins with it.
func (m *Metrics) beginAtZero() {
	for _, labels := range [][]string{{"accepted", "known"}, {"accepted", "unknown"}, {"rejected", "unknown"}, {"malformed", "unknown"}} {
		m.handshakes.WithLabelValues(labels...)
	}
	for _, codec := range []string{"unknown", teltonika.Codec7.String()} {
		m.framesTotal.WithLabelValues(codec, "unknown_codec")
	}
	m.deadLetteredTotal.WithLabelValues(reasonTimestamp)
	for i := range verdicts {
		if v := &verdicts[i]; v.answer {
			m.deadLetteredTotal.WithLabelValues(v.deadLetter)
		} else if v.refused != "" {
			m.refusedTotal.WithLabelValues(v.refused)
		}
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) handshake(result string, known bool) {
	label := "unknown"
	if known {
		label = "known"
	}
	m.handshakes.WithLabelValues(result, label).Inc()
}

func (m *Metrics) frame(codec teltonika.Codec, result string) {
	if c, ok := m.byCodec[codec]; ok && result == "ok" {
		c.ok.Inc()
		return
	}
	name := "unknown"
	if codec.IsAVL() || codec.IsMessage() || codec == teltonika.Codec7 {
		name = codec.String()
	}
	m.framesTotal.WithLabelValues(name, result).Inc()
}

func (m *Metrics) received(codec teltonika.Codec, records int) {
	m.byCodec[codec].received.Add(float64(records))
}

// stored counts the records of an acknowledged frame, dead of which could not be published.
func (m *Metrics) stored(codec teltonika.Codec, o publish.Outcome, dead int) {
	m.byCodec[codec].published.Add(float64(o.Published))
	if o.Duplicates > 0 {
		m.duplicateTotal.Add(float64(o.Duplicates))
	}
	if dead > 0 {
		m.deadLettered(reasonTimestamp, dead)
	}
}

func (m *Metrics) deadLettered(reason string, records int) {
	m.deadLetteredTotal.WithLabelValues(reason).Add(float64(records))
}

func (m *Metrics) refused(reason string, records int) {
	m.refusedTotal.WithLabelValues(reason).Add(float64(records))
}

func (m *Metrics) unknownCodec(c teltonika.Codec) {
	m.unknownCodecTotal.WithLabelValues(hexID(c)).Inc()
}

// hexID is the codec id as a label: two hex digits, whether or not the codec has a name.
func hexID(c teltonika.Codec) string { return fmt.Sprintf("0x%02x", byte(c)) }
