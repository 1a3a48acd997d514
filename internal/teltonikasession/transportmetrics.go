package teltonikasession

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// The transports, as labels.
const (
	transportTCP = "tcp"
	transportTLS = "tls"
	transportUDP = "udp"
)

// transportMetrics are the metrics of the frames that come by one transport.
type transportMetrics struct {
	*Metrics
	transport string

	// The counters of good frames, looked up once.
	byCodec map[teltonika.Codec]codecCounters

	duplicate  prometheus.Counter
	ackLatency prometheus.Observer
}

type codecCounters struct{ ok, received, published prometheus.Counter }

func (m *Metrics) newTransport(name string) *transportMetrics {
	t := &transportMetrics{Metrics: m, transport: name, byCodec: make(map[teltonika.Codec]codecCounters),
		duplicate: m.duplicateTotal.WithLabelValues(name), ackLatency: m.ackLatencySeconds.WithLabelValues(name)}
	for _, c := range []teltonika.Codec{teltonika.Codec7, teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		codec := c.String()
		t.byCodec[c] = codecCounters{
			ok:        m.framesTotal.WithLabelValues(codec, "ok", name),
			received:  m.receivedTotal.WithLabelValues(codec, name),
			published: m.publishedTotal.WithLabelValues(codec, name),
		}
	}
	t.beginAtZero()
	return t
}

// beginAtZero shows what has not happened yet, because an increase is not seen in a series that begins with it.
func (t *transportMetrics) beginAtZero() {
	logins := [][]string{{"rejected", "unknown"}, {"malformed", "unknown"}}
	if t.transport != transportUDP { // where nobody logs in
		logins = append(logins, []string{"accepted", "known"}, []string{"accepted", "unknown"})
	}
	for _, l := range logins {
		t.handshakes.WithLabelValues(l[0], l[1], t.transport)
	}
	t.framesTotal.WithLabelValues("unknown", "unknown_codec", t.transport)
	t.messagesAtZero()
	t.deadLettered(pipeline.ReasonTimestamp, 0)
	for i := range dispositions {
		if d := &dispositions[i]; d.answer {
			t.deadLettered(d.deadLetter, 0)
		} else if d.refused != "" {
			t.refused(d.refused, 0)
		}
	}
}

// of are the metrics of the transport with that name.
func (m *Metrics) of(transport string) *transportMetrics {
	switch transport {
	case transportTLS:
		return m.tls
	case transportUDP:
		return m.udp
	}
	return m.tcp
}

func (t *transportMetrics) handshake(result string, known bool) {
	label := "unknown"
	if known {
		label = "known"
	}
	t.handshakes.WithLabelValues(result, label, t.transport).Inc()
}

func (t *transportMetrics) frame(codec teltonika.Codec, result string) {
	if c, ok := t.byCodec[codec]; ok && result == "ok" {
		c.ok.Inc()
		return
	}
	name := "unknown"
	if codec.IsAVL() || codec.IsMessage() {
		name = codec.String()
	}
	t.framesTotal.WithLabelValues(name, result, t.transport).Inc()
}

func (t *transportMetrics) received(codec teltonika.Codec, records int) {
	t.byCodec[codec].received.Add(float64(records))
}

// stored counts the records of an acknowledged packet, lost of which could not be published.
func (t *transportMetrics) stored(codec teltonika.Codec, o publish.Outcome, lost int) {
	t.byCodec[codec].published.Add(float64(o.Published))
	if o.Duplicates > 0 {
		t.duplicate.Add(float64(o.Duplicates))
	}
	if lost > 0 {
		t.deadLettered(pipeline.ReasonTimestamp, lost)
	}
}

func (t *transportMetrics) deadLettered(reason string, records int) {
	t.deadLetteredTotal.WithLabelValues(reason, t.transport).Add(float64(records))
}

func (t *transportMetrics) refused(reason string, records int) {
	t.refusedTotal.WithLabelValues(reason, t.transport).Add(float64(records))
}
