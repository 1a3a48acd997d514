package ops

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// engineFigures shows what the monitor saw last, while that is not older than staleAfter.
type engineFigures Monitor

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("telemetry_"+name, help, labels, nil)
}

var (
	engineReady       = gauge("engine_ready", "1 if the engine would store a record now, else 0.")
	shardsUnavailable = gauge("shards_unavailable",
		"Shards of the engine that would not store a record now. An engine without shards counts as one.")
	streamLength = gauge("stream_length", "Records that the engine keeps.")
	consumerLag  = gauge("consumer_lag",
		"Records not yet delivered to a consumer group. Needs Redis 7, or KAFKA_GROUPS; absent where the engine cannot "+
			"tell.", "group")
	unread = gauge("unread_records",
		"Records that a consumer group has not acknowledged, delivered or not. Absent where the engine cannot tell.", "group")
	oldestUnread = gauge("oldest_unread_seconds",
		"Age of the oldest record that a consumer group has not acknowledged; 0 if it has acknowledged all. Absent with "+
			"Kafka.", "group")
	expiredUnread = gauge("expired_unread_records",
		"Records that Kafka removed before the consumer group had read them. 0 again when the group commits.", "group")
	lostByEngine = gauge("engine_lost_data_total",
		"How often Kafka has said that it has lost what it had acknowledged to this process.")
	unreadBeyondLimit = gauge("unread_beyond_limit_records",
		"Records kept beyond REDIS_STREAM_MAXLEN because a consumer group has not acknowledged them.")
	engineMemory = gauge("engine_memory_bytes",
		"Redis' memory that counts towards its limit. Absent with SQLite.")
	engineMemoryLimit = gauge("engine_memory_limit_bytes",
		"Redis' maxmemory, at which it stores nothing more. Absent without one.")
	outOfMemory = gauge("engine_out_of_memory",
		"1 while Redis refuses to store because of its memory limit, else 0. Absent with SQLite.")
	memoryExhausted = gauge("memory_exhausted_in_seconds",
		"Time until Redis' memory limit is reached, at the pace of the last 5 minutes. Absent while it will not be.")
	deadLetterBytes = gauge("dead_letter_bytes", "Bytes that all dead letters take in the engine.")
	deadLetterLimit = gauge("dead_letter_limit_bytes",
		"DEAD_LETTER_MAX_BYTES, above which the oldest dead letters are removed. Absent without it.")
	messageBytes = gauge("message_bytes", "Bytes that all messages take in the engine.")
	messageLimit = gauge("message_limit_bytes",
		"MESSAGE_MAX_BYTES, above which the oldest messages are removed. Absent without it.")
	messagesRemoved = gauge("messages_removed_total",
		"Messages that this process has removed from the engine because of MESSAGE_MAX_BYTES.")
)

func (f *engineFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		engineReady, shardsUnavailable, streamLength, consumerLag, unread, oldestUnread, expiredUnread, lostByEngine,
		unreadBeyondLimit,
		engineMemory, engineMemoryLimit, outOfMemory, memoryExhausted, deadLetterBytes, deadLetterLimit,
		messageBytes, messageLimit, messagesRemoved,
	} {
		ch <- d
	}
}

func (f *engineFigures) Collect(ch chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ready := (*Monitor)(f).Err() == nil
	show(engineReady, number(ready))
	o := f.latest.Load()
	unavailable := len(o.unavailable())
	if !ready {
		unavailable = max(1, len(o.status.Shards))
	}
	show(shardsUnavailable, float64(unavailable))
	if !o.status.Known || time.Since(o.at) > staleAfter {
		return
	}
	status := &o.status
	show(streamLength, float64(status.Length))
	show(unreadBeyondLimit, float64(status.UnreadBeyondLimit()))
	show(deadLetterBytes, float64(status.DeadLetterBytes))
	if status.DeadLetterLimit > 0 {
		show(deadLetterLimit, float64(status.DeadLetterLimit))
	}
	show(messageBytes, float64(status.MessageBytes))
	if status.MessageLimit > 0 {
		show(messageLimit, float64(status.MessageLimit))
	}
	ch <- prometheus.MustNewConstMetric(messagesRemoved, prometheus.CounterValue, float64(status.MessagesRemoved))
	if status.Memory > 0 {
		show(engineMemory, float64(status.Memory))
		show(outOfMemory, number(status.OutOfMemory))
	}
	if status.MemoryLimit > 0 {
		show(engineMemoryLimit, float64(status.MemoryLimit))
	}
	if o.fills {
		show(memoryExhausted, o.full.Seconds())
	}
	ch <- prometheus.MustNewConstMetric(lostByEngine, prometheus.CounterValue, float64(status.LostByEngine))
	for name, g := range status.Groups {
		showGroup(show, label(name), g)
	}
}

func showGroup(show func(*prometheus.Desc, float64, ...string), name string, g engine.Group) {
	if g.Lag >= 0 {
		show(consumerLag, float64(g.Lag), name)
	}
	if g.Unread >= 0 {
		show(unread, float64(g.Unread), name)
	}
	if g.Oldest >= 0 {
		show(oldestUnread, g.Oldest.Seconds(), name)
	}
	show(expiredUnread, float64(g.Expired), name)
}

// label is a text that can be a label's value, which has to be UTF-8.
func label(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
