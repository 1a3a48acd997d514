package publish

import (
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// Metrics are the publisher's figures.
type Metrics struct {
	to       metric.Factory
	overflow prometheus.Counter
	duration prometheus.Histogram
	batch    prometheus.Histogram
	retries  prometheus.Counter
	late     prometheus.Counter
	lost     *prometheus.CounterVec
}

// NewMetrics registers the publisher's metrics, whose names lack a prefix. The queue's are added by New.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		to: to,
		overflow: to.Counter("publish_overflow_total",
			"Frames refused because the queue had no room for the whole frame."),
		duration: to.Histogram("publish_duration_seconds",
			"Time from handing a frame to the publisher until all its records were stored.",
			prometheus.ExponentialBuckets(0.0005, 2, 16)),
		batch: to.Histogram("publish_batch_records",
			"Records in one write to the engine: the busier, the larger.", prometheus.ExponentialBuckets(1, 4, 7)),
		retries: to.Counter("publish_retries_total",
			"Writes repeated after a failure that a retry can cure."),
		late: to.Counter("records_stored_late_total",
			"Records stored after their frame had been refused as timeout. The resend counts as duplicate."),
		lost: to.Counters("publish_losses_total",
			"Times that a lane of the publisher found that the engine no longer has all that it had stored: of kind "+
				"record, message or dead_letter (which are meant to be removed). See IngestionRecordsLost.", "kind"),
	}
	for _, kind := range kindNames {
		m.lost.WithLabelValues(kind)
	}
	return m
}

// observe adds the figures that are read from the publisher itself.
func (m *Metrics) observe(p *Publisher) {
	m.to.GaugeFunc("publish_queue_depth",
		"Records admitted and not yet stored, also those whose frame was refused as timeout meanwhile.",
		func() float64 { return float64(p.Queued()) })
	m.to.GaugeFunc("publish_queue_capacity",
		"Records that may be admitted and not yet stored: PUBLISH_QUEUE_CAPACITY.",
		func() float64 { return float64(p.options.Capacity) })
}
