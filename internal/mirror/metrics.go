package mirror

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

type metrics struct {
	connections     prometheus.Gauge
	logins          *prometheus.CounterVec
	frames          *prometheus.CounterVec
	commands        prometheus.Counter
	dropped         *prometheus.CounterVec
	withheld        prometheus.Counter
	bytes, capacity prometheus.Gauge
	waiting         atomic.Int64 // frames in the buffer
}

func newMetrics(r prometheus.Registerer) *metrics {
	to := metric.For(r)
	m := &metrics{
		connections: to.Gauge("teltonika_mirror_connections", "Connections to the old platform."),
		logins: to.Counters("teltonika_mirror_logins_total",
			"Logins at the old platform: accepted, refused, unreachable, no_answer, closed, wrong_answer.", "result"),
		frames: to.Counters("teltonika_mirror_frames_total",
			"Frames sent to the old platform: acknowledged with their number of records, sent (messages, which have no "+
				"answer), wrong_answer; those with no_answer, or closed instead, are sent again.", "result"),
		commands: to.Counter("teltonika_mirror_commands_total",
			"Commands of the old platform. They are not passed on to the devices."),
		dropped: to.Counters("teltonika_mirror_dropped_total",
			"Frames that the old platform does not get, by why: buffer_full, device_full, disk, disk_slow, devices, "+
				"refused, unanswered.", "reason"),
		withheld: to.Counter("teltonika_mirror_unacknowledged_total",
			"Frames that were stored and not acknowledged, because the old platform had not (MIRROR_ACK=both)."),
		bytes:    to.Gauge("teltonika_mirror_buffer_bytes", "Size of the mirror's buffer on disk."),
		capacity: to.Gauge("teltonika_mirror_buffer_capacity_bytes", "MIRROR_BUFFER_BYTES."),
	}
	to.GaugeFunc("teltonika_mirror_waiting_frames", "Frames that wait for the old platform.",
		func() float64 { return float64(m.waiting.Load()) })
	for _, result := range []string{outcomeAccepted, outcomeRefused, outcomeUnreachable, outcomeNoAnswer, outcomeClosed,
		outcomeWrongAnswer} {
		m.logins.WithLabelValues(result)
	}
	for _, result := range []string{outcomeAcknowledged, outcomeSent, outcomeWrongAnswer, outcomeNoAnswer,
		outcomeClosed} {
		m.frames.WithLabelValues(result)
	}
	for _, reason := range []string{"buffer_full", "device_full", "disk", "disk_slow", "devices", "refused",
		"unanswered"} {
		m.dropped.WithLabelValues(reason)
	}
	return m
}
