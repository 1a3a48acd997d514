package ingest

// CloseReason says why a connection ended. It is a metric's label, so the set is closed.
type CloseReason string

// The reasons that the shell itself gives. An adapter adds those of its protocol.
const (
	ReasonPeerClosed  CloseReason = "peer_closed"   // end of stream, or reset by the peer
	ReasonIOError     CloseReason = "io_error"      // any other failure of the socket
	ReasonTakenOver   CloseReason = "taken_over"    // a newer connection of the same device
	ReasonRevoked     CloseReason = "revoked"       // its device is no longer known
	ReasonShutdown    CloseReason = "shutdown"      // the server is stopping
	ReasonLimit       CloseReason = "limit"         // all places are proven devices'
	ReasonCrowdedOut  CloseReason = "crowded_out"   // unproven, gone to make room for a newer connection
	ReasonRateLimited CloseReason = "rate_limited"  // its address had too many connections without a login
	ReasonPanic       CloseReason = "panic"         // a bug in the adapter, contained
	ReasonIdleTimeout CloseReason = "idle_timeout"  // nothing received for the idle timeout
	ReasonTLS         CloseReason = "tls_handshake" // see teltonika_tls_handshakes_total
	ReasonProxyHeader CloseReason = "proxy_header"  // a balancer's connection without a good PROXY protocol header
	ReasonHealthCheck CloseReason = "health_check"  // a balancer's own, on which nobody has logged in
)
