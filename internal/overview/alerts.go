package overview

import "time"

// rule is the condition of an alert of deploy/prometheus/alerts.yml, of this process alone.
type rule struct {
	alert, severity string
	held            time.Duration // it fires once the condition has held so long
	holds           func(*history) bool
}

const (
	critical = "critical"
	warning  = "warning"
	info     = "info"
)

// rules are in the order of alerts.yml, whose expressions these are.
var rules = []rule{
	{"IngestionSessionPanicked", warning, 0, func(h *history) bool {
		return h.increase(15*time.Minute, closed, is("reason", "panic"))+
			h.increase(15*time.Minute, udpDropped, is("reason", "panic")) > 0
	}},
	{"IngestionFileDescriptorsNearLimit", warning, 5 * time.Minute, func(h *history) bool {
		return h.sum("process_open_fds") > 0.85*h.sum("process_max_fds") && h.there("process_max_fds")
	}},
	{"IngestionConnectionLimit", critical, 0, func(h *history) bool {
		return h.increase(10*time.Minute, closed, is("reason", "limit")) > 0
	}},
	{"IngestionCrowded", warning, 0, func(h *history) bool {
		return h.increase(10*time.Minute, closed, is("reason", "crowded_out")) > 0
	}},
	{"IngestionAddressesLimited", warning, 10 * time.Minute, func(h *history) bool {
		return h.rate(10*time.Minute, closed, is("reason", "rate_limited")) > 1
	}},
	{"IngestionLoginsRefused", warning, 15 * time.Minute, func(h *history) bool {
		refused := h.rate(15*time.Minute, handshakes, is("result", "rejected"))
		logins := h.rate(15*time.Minute, handshakes) + h.rate(15*time.Minute, frames, is("transport", "udp"))
		return refused > 0.1 && refused > 0.2*logins
	}},
	{"IngestionAllowListStale", warning, 5 * time.Minute, func(h *history) bool {
		return h.sum("teltonika_allow_list_age_seconds") > 900 &&
			h.increase(time.Hour, "teltonika_allow_list_refresh_total", isNot("result", "ok")) > 0
	}},
	{"IngestionCertificateExpiresSoon", warning, time.Hour, expiresWithin(14)},
	{"IngestionCertificateExpiresNow", critical, 15 * time.Minute, expiresWithin(3)},
	{"IngestionCertificateNotReloaded", warning, 5 * time.Minute, func(h *history) bool {
		const reloads = "teltonika_tls_certificate_reloads_total"
		return h.increase(time.Hour, reloads, is("result", "failed")) > h.increase(time.Hour, reloads, is("result", "ok"))
	}},
	{"IngestionTLSBusy", warning, 5 * time.Minute, func(h *history) bool {
		waiting := h.least(5*time.Minute, func(s *sample) float64 { return h.sumAt(s, "teltonika_tls_handshakes_waiting") })
		return waiting > 10 || h.rate(5*time.Minute, "teltonika_tls_handshakes_total", is("result", "busy")) > 0
	}},
	{"IngestionProxyHeadersRefused", warning, 5 * time.Minute, func(h *history) bool {
		return h.any(proxyRefused, "reason", func(m match) bool { return h.rate(10*time.Minute, proxyRefused, m) > 0.05 })
	}},
	{"IngestionDatagramsDropped", warning, 10 * time.Minute, func(h *history) bool {
		return h.rate(10*time.Minute, udpDropped, isNot("reason", "panic")) > 1
	}},
	{"IngestionCommandStoreFailing", warning, 5 * time.Minute, func(h *history) bool {
		return h.rate(5*time.Minute, "teltonika_command_store_errors_total")+
			h.rate(5*time.Minute, "teltonika_command_redis_failures_total") > 0
	}},
	{"IngestionCommandsUnanswered", warning, 15 * time.Minute, func(h *history) bool {
		unanswered := h.increase(time.Hour, commands, is("state", "timed_out", "expired", "failed"))
		return unanswered > 20 && unanswered > 0.5*h.increase(time.Hour, commands, isNot("state", "cancelled"))
	}},
	{"IngestionEngineNotStoring", critical, time.Minute, func(h *history) bool {
		return h.there(engineReady) && h.sum(engineReady) == 0
	}},
	{"IngestionRecordsRefused", critical, 5 * time.Minute, func(h *history) bool {
		return h.rate(5*time.Minute, refused, is("reason", "engine", "timeout")) > 0.01*h.rate(5*time.Minute, received)
	}},
	{"IngestionOverflow", critical, 2 * time.Minute, func(h *history) bool {
		return h.rate(5*time.Minute, "teltonika_publish_overflow_total") > 0.01*h.rate(5*time.Minute, frames)
	}},
	{"IngestionQueueNearFull", warning, 2 * time.Minute, func(h *history) bool {
		return h.sum(queueDepth) > 0.8*h.sum(queueCapacity) && h.there(queueCapacity)
	}},
	{"IngestionAckSlow", warning, 5 * time.Minute, func(h *history) bool {
		return h.any(ackLatency+"_count", "transport", func(m match) bool {
			return h.rate(5*time.Minute, ackLatency+"_count", m) > 0.1 &&
				h.quantile(0.99, 5*time.Minute, ackLatency, m) > 10
		})
	}},
	{"IngestionConsumerLag", warning, 15 * time.Minute, func(h *history) bool {
		return h.any(consumerLag, "group", func(m match) bool {
			return h.sum(consumerLag, m) > 10_000 && h.slope(15*time.Minute, consumerLag, m) > 0
		})
	}},
	{"IngestionUnreadOld", warning, 10 * time.Minute, func(h *history) bool {
		return h.any(oldestUnread, "group", func(m match) bool { return h.sum(oldestUnread, m) > 900 })
	}},
	{"IngestionShardsUnavailable", critical, 5 * time.Minute, func(h *history) bool {
		return h.sum("telemetry_shards_unavailable") > 0 && h.sum(engineReady) == 1
	}},
	{"IngestionExpiredUnread", critical, 0, func(h *history) bool {
		return h.sum("telemetry_expired_unread_records") > 0
	}},
	{"IngestionEngineLostData", critical, 0, func(h *history) bool {
		return h.increase(15*time.Minute, "telemetry_engine_lost_data_total") > 0
	}},
	{"IngestionMemoryExhaustedSoon", warning, 15 * time.Minute, exhaustedWithin(4 * time.Hour)},
	{"IngestionMemoryExhaustedNow", critical, 2 * time.Minute, func(h *history) bool {
		return exhaustedWithin(30*time.Minute)(h) || h.sum("telemetry_engine_out_of_memory") == 1 ||
			h.fuller("telemetry_engine_memory", 0.95)
	}},
	{"IngestionNotDurable", warning, 10 * time.Minute, func(h *history) bool {
		return h.sum(engineInfo, is("class", "memory")) == 1
	}},
	{"IngestionLedgerNotBalanced", warning, 10 * time.Minute, func(h *history) bool {
		const in = 30 * time.Minute
		queued := func(s *sample) float64 { return h.sumAt(s, queueDepth) }
		unaccounted := h.least(in, func(s *sample) float64 { return h.uncounted(s) - queued(s) })
		most := -h.least(in, func(s *sample) float64 { return -h.uncounted(s) })
		return unaccounted > 0.1*h.rate(in, received) || most < 0
	}},
	{"IngestionDeadLetters", info, 0, func(h *history) bool {
		return h.increase(time.Hour, deadLettered)+h.increase(time.Hour, "teltonika_messages_dead_lettered_total") > 0
	}},
	{"IngestionDeadLettersMany", warning, 15 * time.Minute, shareOfRecords(deadLettered, 0.01, 1, deadLettered)},
	{"IngestionDeadLettersFull", warning, 2 * time.Minute, func(h *history) bool {
		return h.fuller("telemetry_dead_letter", 0.8)
	}},
	{"IngestionMessagesFull", warning, 2 * time.Minute, func(h *history) bool {
		return h.fuller("telemetry_message", 0.8)
	}},
	{"IngestionMessagesLost", warning, 0, func(h *history) bool {
		return h.increase(15*time.Minute, "teltonika_messages_refused_total") > 0
	}},
	{"IngestionMirrorDrops", warning, 0, func(h *history) bool {
		return h.increase(15*time.Minute, "teltonika_mirror_dropped_total") > 0
	}},
	{"IngestionRecordsLost", warning, 0, func(h *history) bool {
		return h.increase(15*time.Minute, "teltonika_publish_losses_total", isNot("kind", "dead_letter")) > 0
	}},
	{"IngestionUnknownCodec", warning, 5 * time.Minute, func(h *history) bool {
		return h.increase(30*time.Minute, frames, is("result", "unknown_codec")) > 0
	}},
	{"IngestionCRCFailures", warning, 10 * time.Minute, func(h *history) bool {
		failed := h.rate(5*time.Minute, frames, is("result", "crc_fail"))
		return failed > 0.5 && failed > 0.01*h.rate(5*time.Minute, frames)
	}},
	{"IngestionDuplicates", warning, 15 * time.Minute, shareOfRecords(duplicate, 0.3, 1, received)},
}

const ofForward = "of another process, forward"

// notEvaluated are the alerts that one process cannot know of, and why.
var notEvaluated = []NotEvaluated{
	{"IngestionDown", "only from outside"},
	{"IngestionNotScraped", "only from outside"},
	{"IngestionRestarting", "the history ends with the process"},
	{"IngestionNoConnections", "compares with other instances"},
	{"IngestionNoRecords", "compares with other instances"},
	{"IngestionFleetDropped", "counts the devices of all instances"},
	{"IngestionTLSRefused", "compares with the day before"},
	{"IngestionForwardDown", ofForward},
	{"IngestionForwardFailing", ofForward},
	{"IngestionForwardBehind", ofForward},
	{"IngestionForwardRefused", ofForward},
	{"IngestionForwardLost", ofForward},
}

func expiresWithin(days float64) func(*history) bool {
	return func(h *history) bool { return h.there(certificateLeft) && h.sum(certificateLeft)/86400 < days }
}

func exhaustedWithin(limit time.Duration) func(*history) bool {
	return func(h *history) bool { return h.there(memoryExhausted) && h.sum(memoryExhausted) < limit.Seconds() }
}

// shareOfRecords is whether a kind makes up more than a part of the records received, where another one comes more
// often than that in a second.
func shareOfRecords(kind string, part, often float64, ofKind string) func(*history) bool {
	return func(h *history) bool {
		const in = 15 * time.Minute
		return h.rate(in, ofKind) > often && h.rate(in, kind) > part*h.rate(in, received)
	}
}

// any reports whether a figure with one of the label's values does.
func (h *history) any(metric, label string, does func(match) bool) bool {
	for _, value := range h.values(metric, label) {
		if does(is(label, value)) {
			return true
		}
	}
	return false
}

// least is the least that something has been in the time.
func (h *history) least(in time.Duration, of func(*sample) float64) float64 {
	samples := h.since(in)
	least := of(&samples[0])
	for i := range samples[1:] {
		least = min(least, of(&samples[i+1]))
	}
	return least
}

// fuller reports whether more than a part of what has a limit is full.
func (h *history) fuller(what string, part float64) bool {
	limit := h.sum(what + "_limit_bytes")
	return limit > 0 && h.sum(what+"_bytes") > part*limit
}

// uncounted are the records received of which nobody said yet what became of them.
func (h *history) uncounted(s *sample) float64 {
	rest := h.sumAt(s, received)
	for _, fate := range []string{published, duplicate, deadLettered, refused} {
		rest -= h.sumAt(s, fate)
	}
	return rest
}
