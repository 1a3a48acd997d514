package teltonikasession

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// messageMetrics are the metrics of what devices send in Codec 12 to 15.
type messageMetrics struct{ received, stored, answers, deadLettered, refused *prometheus.CounterVec }

func newMessageMetrics(to metric.Factory) messageMetrics {
	return messageMetrics{
		received: to.Counters("teltonika_messages_received_total",
			"Messages of devices in Codec 12 to 15; one for a frame that cannot be decoded.", "codec", "transport"),
		stored: to.Counters("teltonika_messages_stored_total",
			"Received messages stored as data.", "codec", "transport"),
		answers: to.Counters("teltonika_messages_answers_total",
			"Received messages that answer a command and are kept with it.", "codec", "transport"),
		deadLettered: to.Counters("teltonika_messages_dead_lettered_total",
			"Received frames of messages that cannot be decoded, kept as dead letters.", "codec", "transport"),
		refused: to.Counters("teltonika_messages_refused_total",
			"Received messages that are lost, because their connection ended before the engine stored again, or they came in a "+
				"datagram: timeout, overflow, unlisted, engine, draining or dead_letters. See IngestionMessagesLost.",
			"codec", "reason", "transport"),
	}
}

// messageCodecs are the codecs of messages.
var messageCodecs = []teltonika.Codec{teltonika.Codec12, teltonika.Codec13, teltonika.Codec14, teltonika.Codec15}

// messagesAtZero shows what has not happened yet.
func (t *transportMetrics) messagesAtZero() {
	for _, c := range messageCodecs {
		t.messagesReceived(c, 0)
		t.messagesStored(c, 0)
		t.messagesAnswered(c, 0)
		t.messages.deadLettered.WithLabelValues(c.String(), t.transport)
		for i := range dispositions {
			if reason := dispositions[i].refused; reason != "" {
				t.messages.refused.WithLabelValues(c.String(), reason, t.transport)
			}
		}
	}
}

func (t *transportMetrics) messagesReceived(c teltonika.Codec, n int) {
	t.messages.received.WithLabelValues(c.String(), t.transport).Add(float64(n))
}

func (t *transportMetrics) messagesStored(c teltonika.Codec, n int) {
	t.messages.stored.WithLabelValues(c.String(), t.transport).Add(float64(n))
}

func (t *transportMetrics) messagesAnswered(c teltonika.Codec, n int) {
	t.messages.answers.WithLabelValues(c.String(), t.transport).Add(float64(n))
}

func (t *transportMetrics) messagesDeadLettered(c teltonika.Codec, n int) {
	t.messages.deadLettered.WithLabelValues(c.String(), t.transport).Add(float64(n))
}

// messagesRefused counts messages that nobody sends again.
func (t *transportMetrics) messagesRefused(c teltonika.Codec, reason string, n int) {
	t.messages.refused.WithLabelValues(c.String(), reason, t.transport).Add(float64(n))
}
