package overview

// The metrics that more than one line here asks for.
const (
	received        = "teltonika_records_received_total"
	published       = "teltonika_records_published_total"
	duplicate       = "teltonika_records_duplicate_total"
	deadLettered    = "teltonika_records_dead_lettered_total"
	refused         = "teltonika_records_refused_total"
	frames          = "teltonika_frames_total"
	handshakes      = "teltonika_handshake_total"
	closed          = "teltonika_connections_closed_total"
	udpDropped      = "teltonika_udp_dropped_total"
	proxyRefused    = "teltonika_proxy_headers_refused_total"
	commands        = "teltonika_commands_total"
	queueDepth      = "teltonika_publish_queue_depth"
	queueCapacity   = "teltonika_publish_queue_capacity"
	ackLatency      = "teltonika_ack_latency_seconds"
	certificateLeft = "teltonika_tls_certificate_expiry_seconds"
	engineReady     = "telemetry_engine_ready"
	engineInfo      = "telemetry_engine_info"
	streamLength    = "telemetry_stream_length"
	consumerLag     = "telemetry_consumer_lag"
	unread          = "telemetry_unread_records"
	oldestUnread    = "telemetry_oldest_unread_seconds"
	memoryExhausted = "telemetry_memory_exhausted_in_seconds"
	deadLetterBytes = "telemetry_dead_letter_bytes"
	buildInfo       = "tcp_ingestion_build_info"
	startTime       = "process_start_time_seconds"
)

// wanted are the metrics that are remembered.
var wanted = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range []string{
		received, published, duplicate, deadLettered, refused, frames, handshakes, closed, udpDropped, proxyRefused,
		commands, queueDepth, queueCapacity, ackLatency, certificateLeft, engineReady, engineInfo, streamLength,
		consumerLag, unread, oldestUnread, memoryExhausted, deadLetterBytes, buildInfo, startTime,
		"process_open_fds", "process_max_fds",
		"teltonika_allow_list_age_seconds", "teltonika_allow_list_refresh_total",
		"teltonika_tls_certificate_reloads_total", "teltonika_tls_handshakes_waiting", "teltonika_tls_handshakes_total",
		"teltonika_command_store_errors_total", "teltonika_command_redis_failures_total",
		"teltonika_publish_overflow_total", "teltonika_publish_losses_total",
		"teltonika_messages_dead_lettered_total", "teltonika_messages_refused_total",
		"teltonika_mirror_dropped_total",
		"telemetry_shards_unavailable", "telemetry_expired_unread_records", "telemetry_engine_lost_data_total",
		"telemetry_engine_memory_bytes", "telemetry_engine_memory_limit_bytes", "telemetry_engine_out_of_memory",
		"telemetry_dead_letter_limit_bytes", "telemetry_message_bytes", "telemetry_message_limit_bytes",
	} {
		all[name] = true
	}
	return all
}()
