package stranger

import (
	"encoding/hex"
	"time"
)

// Door is where somebody knocked.
type Door string

// The doors.
const (
	DoorTCP   Door = "tcp"   // a port for devices without TLS, or the plain side of one with both
	DoorTLS   Door = "tls"   // a port for devices with TLS
	DoorUDP   Door = "udp"   // UDP_PORT
	DoorHTTP  Door = "http"  // METRICS_PORT
	DoorAdmin Door = "admin" // ADMIN_ADDRESS
)

// Cause says why nobody logged in. The set is closed.
type Cause string

// The causes.
const (
	CauseSilent         Cause = "silent"           // nothing came
	CauseCutOff         Cause = "login_cut_off"    // the login began and did not end
	CauseMalformedLogin Cause = "malformed_login"  // what came is no login, and nothing else that is known
	CauseFrameFirst     Cause = "frame_first"      // a frame came before the login
	CauseNoDatagram     Cause = "no_datagram"      // what came by UDP is no datagram of a device
	CausePlainOnTLS     Cause = "plain_on_tls"     // a device without TLS at a port that wants it
	CauseTLSOnPlain     Cause = "tls_on_plain"     // the other way round
	CauseTLS            Cause = "tls_handshake"    // TLS did not come about
	CauseTLSUnused      Cause = "tls_unused"       // TLS came about, and nothing behind it
	CauseOnHTTP         Cause = "on_http_port"     // a device at a port for HTTP
	CauseUDPOnTCP       Cause = "udp_on_tcp"       // datagrams in a connection
	CauseTCPOnUDP       Cause = "tcp_on_udp"       // a login or frame in a datagram
	CauseProxyUntrusted Cause = "proxy_untrusted"  // a PROXY header of an address that is not believed
	CauseProxyMissing   Cause = "proxy_missing"    // no PROXY header of a balancer that has to send one
	CauseProxyMalformed Cause = "proxy_malformed"  // a PROXY header that cannot be used
	CauseHexText        Cause = "hex_text"         // a login or frame written out as hex digits
	CauseForeign        Cause = "foreign_protocol" // another protocol, which is known
	CauseLimit          Cause = "limit"            // all of MAX_CONNECTIONS are proven devices'
	CauseCrowdedOut     Cause = "crowded_out"      // there was no room
	CauseRateLimited    Cause = "rate_limited"     // too many connections of the address have ended without a login
)

// Causes are all causes.
var Causes = []Cause{CauseSilent, CauseCutOff, CauseMalformedLogin, CauseFrameFirst, CauseNoDatagram, CausePlainOnTLS,
	CauseTLSOnPlain, CauseTLS, CauseTLSUnused, CauseOnHTTP, CauseUDPOnTCP, CauseTCPOnUDP, CauseProxyUntrusted,
	CauseProxyMissing,
	CauseProxyMalformed, CauseHexText, CauseForeign, CauseLimit, CauseCrowdedOut, CauseRateLimited}

// MaxFirst is how many of the first bytes are kept.
const MaxFirst = 64

// Stranger is somebody who knocked, once or more often in the same way. Address, First, IMEI and Text may hold whatever
// he likes: escape them where they are shown.
type Stranger struct {
	At       time.Time `json:"at"`       // the last time
	FirstAt  time.Time `json:"first_at"` // the first one
	Count    uint64    `json:"count"`
	Address  string    `json:"address"` // of the last time, with the port
	Door     Door      `json:"door"`
	Cause    Cause     `json:"cause"`
	Protocol string    `json:"protocol,omitempty"` // what the first bytes look like: MQTT, EGTS; or unknown
	Text     string    `json:"text"`               // the cause in words, and what to do
	First    Bytes     `json:"first,omitempty"`    // of the last time, MaxFirst at most
	IMEI     string    `json:"imei,omitempty"`     // if the first bytes hold one
	IMEIAs   string    `json:"imei_as,omitempty"`  // as what: AsLogin and so on
	Instance string    `json:"instance,omitempty"` // where he knocked
}

// Bytes are written as hex.
type Bytes []byte

// MarshalText implements [encoding.TextMarshaler].
func (b Bytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *Bytes) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	*b = raw
	return err
}
