package forward

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// Metrics are the figures of a forwarder.
type Metrics struct {
	to         metric.Factory
	delivered  prometheus.Counter
	filtered   prometheus.Counter
	refused    prometheus.Counter
	dropped    prometheus.Counter
	expired    prometheus.Counter
	retries    *prometheus.CounterVec
	duration   prometheus.Histogram
	last       prometheus.Gauge
	lagRecords prometheus.Gauge
	lagSeconds prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	to := metric.For(r)
	m := &Metrics{
		to:        to,
		delivered: to.Counter("forward_delivered_records_total", "Records that the sink has taken, again ones included."),
		filtered:  to.Counter("forward_filtered_records_total", "Records that the filter left out."),
		refused: to.Counter("forward_refused_records_total",
			"Records put aside into the file of refused ones, because the sink refuses them for good or they have no form "+
				"in the format."),
		dropped: to.Counter("forward_refused_files_removed_total",
			"Files of refused records that were removed for newer ones, for their size."),
		expired: to.Counter("forward_expired_records_total",
			"Records that the engine removed, for their age or its limits, before they were read: they are not delivered."),
		retries: to.Counters("forward_retries_total",
			"Attempts that failed and were made again: of a read, a delivery, a refusal or a commit.", "step"),
		duration: to.Histogram("forward_delivery_seconds", "Time that the sink took for a batch.",
			prometheus.ExponentialBuckets(0.001, 4, 9)),
		last: to.Gauge("forward_last_delivery_timestamp_seconds", "When the sink last took a batch, 0 if never."),
		lagRecords: to.Gauge("forward_lag_records",
			"Records stored and not yet delivered and committed, -1 if the engine cannot tell."),
		lagSeconds: to.Gauge("forward_lag_seconds",
			"How long ago the oldest of them was stored, 0 if there is none, -1 if the engine cannot tell."),
	}
	for _, step := range []string{"read", "delivery", "refusal", "commit"} {
		m.retries.WithLabelValues(step)
	}
	return m
}

// observe adds the figures that are read from the forwarder itself.
func (m *Metrics) observe(f *Forwarder) {
	failing := func(h *health.Health) func() float64 {
		return func() float64 {
			if h.Failure() != nil {
				return 1
			}
			return 0
		}
	}
	m.to.GaugeFunc("forward_engine_failing", "Whether the engine cannot be read.", failing(&f.reading))
	m.to.GaugeFunc("forward_sink_failing", "Whether deliveries, or what belongs to them, fail.", failing(&f.delivery))
	m.to.GaugeFunc("forward_waiting", "Whether another process of the group reads, and this one waits.", func() float64 {
		if f.waiting.Load() {
			return 1
		}
		return 0
	})
}

// How often the lag is asked for, and how long the answer may take.
const (
	lagEvery   = 10 * time.Second
	lagTimeout = 5 * time.Second
)

// watchLag asks how far the group is until ctx ends, and says when records have gone that were never read.
func (f *Forwarder) watchLag(ctx context.Context) {
	expired := int64(0)
	for ctx.Err() == nil {
		expired = f.lookAtLag(ctx, expired)
		backoff.Pause(ctx, lagEvery)
	}
}

func (f *Forwarder) lookAtLag(ctx context.Context, expired int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	g, err := f.Consumer.Lag(ctx)
	if err != nil {
		f.Metrics.lagRecords.Set(-1)
		f.Metrics.lagSeconds.Set(-1)
		return expired // why is said where records are read
	}
	f.Metrics.lagRecords.Set(float64(g.Unread))
	seconds := g.Oldest.Seconds()
	if g.Oldest < 0 {
		seconds = -1
	}
	f.Metrics.lagSeconds.Set(seconds)
	if more := g.Expired - expired; more > 0 {
		f.Metrics.expired.Add(float64(more))
		f.Logger.Error("records were removed before they were read, they are not delivered", "records", more)
	}
	return max(expired, g.Expired)
}
