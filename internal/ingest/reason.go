package ingest

// CloseReason says why a connection ended. It is a metric's label, so the set is closed.
type CloseReason string

// The reasons that the shell itself gives. An adapter adds those of its protocol. docs/reference/close-reasons.md comes
// from these comments.
const (
	// The device or the network ended the connection. Worry: no, trackers do it all the time.
	ReasonPeerClosed CloseReason = "peer_closed"
	// Any other failure of the socket. Worry: if many: the network, see the kernel's log.
	ReasonIOError CloseReason = "io_error"
	// A newer connection of the same device, here or at another instance. Worry: not about single ones; steadily: two
	// devices with one IMEI.
	ReasonTakenOver CloseReason = "taken_over"
	// The device was taken off the allow-list, under STRICT_DEVICE_AUTH. Worry: no, if that was meant.
	ReasonRevoked CloseReason = "revoked"
	// The device was asked to come back, while this process goes on. Nothing asks for it yet. Worry: no.
	ReasonShed CloseReason = "shed"
	// This process was stopping. Worry: no.
	ReasonShutdown CloseReason = "shutdown"
	// All of MAX_CONNECTIONS are proven devices', and others have proved themselves earlier. Worry: yes:
	// IngestionConnectionLimit.
	ReasonLimit CloseReason = "limit"
	// All places were taken, and this connection was unproven (docs/sizing.md#who-gets-in): a newer one has its place.
	// Worry: see IngestionCrowded.
	ReasonCrowdedOut CloseReason = "crowded_out"
	// Too many connections from this address (IPv6: this /64) ended without a login: 2,000 in a row; it gets 100 more a
	// second, one in four of the others, and 50 for each login. From 200 on (one more a second) each has 5 s to log
	// in. Worry: see IngestionAddressesLimited.
	ReasonRateLimited CloseReason = "rate_limited"
	// A bug; only this connection was ended. Worry: yes: IngestionSessionPanicked.
	ReasonPanic CloseReason = "panic"
	// No whole login, or no first byte, within HANDSHAKE_TIMEOUT. Worry: no: scanners.
	ReasonHandshakeTimeout CloseReason = "handshake_timeout"
	// Nothing was received for IDLE_TIMEOUT. Worry: if many: a lossy network, or IDLE_TIMEOUT is below the devices'
	// period.
	ReasonIdleTimeout CloseReason = "idle_timeout"
	// No TLS session came about; teltonika_tls_handshakes_total says why. Worry: see IngestionTLSRefused.
	ReasonTLS CloseReason = "tls_handshake"
	// A balancer sent no good PROXY protocol header. Worry: yes: IngestionProxyHeadersRefused.
	ReasonProxyHeader CloseReason = "proxy_header"
	// A balancer's own connection, by its header or because it sent nothing, on which nobody logged in. Worry: no.
	ReasonHealthCheck CloseReason = "health_check"
)
