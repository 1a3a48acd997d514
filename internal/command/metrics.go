package command

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// messageDropped is what becomes of a message when too many are in hand or the store does not take it.
const messageDropped Match = "dropped"

// Metrics are the commands' counters.
type Metrics struct {
	finishedTotal *prometheus.CounterVec
	messages      *prometheus.CounterVec
	storeErrors   prometheus.Counter
	inHand        prometheus.Gauge
	duration      prometheus.Histogram
}

// NewMetrics registers the commands' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		finishedTotal: to.Counters("teltonika_commands_total",
			"Commands that got their final state at this instance: answered, nacked, timed_out, expired, failed or "+
				"cancelled. See docs/commands.md#what-a-command-is.", "state"),
		messages: to.Counters("teltonika_device_messages_total",
			"Messages in the form of answers: answer, late_answer (after the timeout), message (of no command) or "+
				"dropped (the store was not asked, or did not take a late answer; as data it is stored all the same).", "kind"),
		storeErrors: to.Counter("teltonika_command_store_errors_total",
			"Calls of the command store that failed and are repeated."),
		inHand: to.Gauge("teltonika_commands_in_hand",
			"Commands for devices that are connected to this instance, waiting or sent."),
		duration: to.Histogram("teltonika_command_answer_seconds",
			"Time from a command sent to its answer.", prometheus.ExponentialBuckets(0.05, 2, 13)),
	}
	for _, s := range FinalStates {
		m.finishedTotal.WithLabelValues(string(s))
	}
	for _, k := range []Match{MatchAnswer, MatchLate, MatchNone, messageDropped} {
		m.messages.WithLabelValues(string(k))
	}
	return m
}

func (m *Metrics) message(kind Match) { m.messages.WithLabelValues(string(kind)).Inc() }

func (m *Metrics) finished(e *Entry) {
	m.finishedTotal.WithLabelValues(string(e.State)).Inc()
	if e.State == Answered && e.Attempts == 1 {
		m.duration.Observe(e.FinishedAt.Sub(e.SentAt).Seconds())
	}
}
