package ingest

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// dropReason says why a datagram was not looked at, or not to its end. It is a metric's label, so the set is closed.
type dropReason string

const (
	dropAddressBusy dropReason = "address_busy" // maxInHandOfAddress
	dropTooLarge    dropReason = "too_large"    // above MaxBytes
	dropPanic       dropReason = "panic"        // a bug in the adapter, contained
)

var dropReasons = []dropReason{dropAddressBusy, dropTooLarge, dropPanic}

func (r dropReason) index() int { return slices.Index(dropReasons, r) }

// PacketMetrics are the datagrams' figures.
type PacketMetrics struct {
	received      prometheus.Counter
	drops         []prometheus.Counter // as dropReasons
	waits         prometheus.Counter
	inHand        prometheus.Gauge
	answersFailed prometheus.Counter
}

// NewPacketMetrics registers the datagrams' metrics. The registerer adds the prefix that names the protocol.
func NewPacketMetrics(r prometheus.Registerer) *PacketMetrics {
	to := metric.For(r)
	drops := to.Counters("udp_dropped_total",
		"Datagrams dropped, to be sent again: address_busy (one address, or /64 of IPv6, has 128 in hand), too_large "+
			"(above MAX_FRAME_BYTES or 4 KiB) or panic (a bug).", "reason")
	m := &PacketMetrics{
		received: to.Counter("udp_datagrams_total",
			"Datagrams read."),
		waits: to.Counter("udp_waits_total",
			"Times that reading datagrams waited because 256 were in hand. What the kernel then drops is in its "+
				"UdpRcvbufErrors (nstat)."),
		inHand: to.Gauge("udp_in_hand",
			"Datagrams that wait to be stored and answered."),
		answersFailed: to.Counter("udp_answers_failed_total",
			"Answers to datagrams that could not be sent. The device sends its datagram again."),
	}
	for _, reason := range dropReasons {
		m.drops = append(m.drops, drops.WithLabelValues(string(reason)))
	}
	return m
}

func (m *PacketMetrics) dropped(reason dropReason) { m.drops[reason.index()].Inc() }
