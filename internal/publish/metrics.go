package publish

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the publisher's figures.
type Metrics struct {
	registerer prometheus.Registerer
	overflow   prometheus.Counter
	duration   prometheus.Histogram
	batch      prometheus.Histogram
	retries    prometheus.Counter
	late       prometheus.Counter
	lost       *prometheus.CounterVec
}

// NewMetrics registers the publisher's metrics, whose names lack a prefix. The queue's are added by New.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: r,
		overflow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "publish_overflow_total",
			Help: "Frames refused because the queue had no room for the whole frame.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "publish_duration_seconds",
			Help:    "Time from handing a frame to the publisher until all its records were stored.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "publish_batch_records",
			Help:    "Records in one write to the engine: the busier, the larger.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "publish_retries_total",
			Help: "Writes repeated after a failure that a retry can cure.",
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "records_stored_late_total",
			Help: "Records stored after their frame had been refused as timeout. The resend counts as duplicate.",
		}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "publish_losses_total",
			Help: "Times that a lane of the publisher found that the engine no longer has all that it had stored: of kind " +
				"record, message or dead_letter (which are meant to be removed). See IngestionRecordsLost.",
		}, []string{"kind"}),
	}
	for _, kind := range kindNames {
		m.lost.WithLabelValues(kind)
	}
	r.MustRegister(m.overflow, m.duration, m.batch, m.retries, m.late, m.lost)
	return m
}

// observe adds the figures that are read from the publisher itself.
func (m *Metrics) observe(p *Publisher) {
	m.registerer.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "publish_queue_depth",
			Help: "Records admitted and not yet stored, also those whose frame was refused as timeout meanwhile.",
		}, func() float64 { return float64(p.Queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "publish_queue_capacity",
			Help: "Records that may be admitted and not yet stored: PUBLISH_QUEUE_CAPACITY.",
		}, func() float64 { return float64(p.options.Capacity) }),
	)
}
