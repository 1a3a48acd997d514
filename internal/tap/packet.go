package tap

import (
	"net"
	"net/netip"
	"time"
)

// Kind is what a packet is.
type Kind string

// The kinds of packets. Command is the only one that goes out; what answers a packet is told with it.
const (
	Login    Kind = "login"    // or what came instead of one
	Frame    Kind = "frame"    // on a connection
	Datagram Kind = "datagram" // with all that UDP has: no login
	Command  Kind = "command"  // written to the device
)

// Outcome is what has become of a packet.
type Outcome string

// The outcomes.
const (
	Accepted      Outcome = "accepted"       // the login
	Rejected      Outcome = "rejected"       // the login or datagram: the device may not
	Malformed     Outcome = "malformed"      // neither a login nor a frame
	CutOff        Outcome = "cut_off"        // it did not come to its end
	TurnedAway    Outcome = "turned_away"    // there was no room for the connection
	Stored        Outcome = "stored"         // all of it, or some and the rest was a duplicate
	Duplicate     Outcome = "duplicate"      // all of it was stored before
	Empty         Outcome = "empty"          // a frame without records
	DeadLettered  Outcome = "dead_lettered"  // all of it or some; reason says for what
	Refused       Outcome = "refused"        // it is to be sent again; reason says for what
	WrongCRC      Outcome = "wrong_crc"      // likewise
	CommandAnswer Outcome = "command_answer" // it answered a command
	Pending       Outcome = "pending"        // a message whose connection ended before it was stored
	CommandSent   Outcome = "command_sent"
	CommandFailed Outcome = "command_failed" // it could not be written
)

// Outcomes are all there are.
var Outcomes = []Outcome{Accepted, Rejected, Malformed, CutOff, TurnedAway, Stored, Duplicate, Empty, DeadLettered,
	Refused, WrongCRC, CommandAnswer, Pending, CommandSent, CommandFailed}

// Packet is one that came from a device or went to it, and what has become of it. Whoever offers one keeps Bytes,
// Answer and Err; a tap has copies.
type Packet struct {
	Time      time.Time // of its last byte
	IMEI      string    // of the device; empty if nobody knows it
	Address   netip.AddrPort
	Transport string // tcp, tls or udp; of a stranger also http or admin, whose door it was
	Kind      Kind
	Outcome   Outcome
	Reason    string        // for the outcome, in the words of the metrics and close reasons; may be empty
	Stranger  bool          // nobody has logged in on its connection
	Bytes     []byte        // of a tap: MaxBytes at most
	Size      int           // in bytes, of all of it, as far as that is known
	Answer    []byte        // what the device was answered; nil for nothing
	Took      time.Duration // from Time to the answer
	Err       error         // what was wrong, of the offered one
	Error     string        // the same, of a tap
}

// AddressOf is the address of a connection's end, if it is one of IP.
func AddressOf(a net.Addr) netip.AddrPort {
	ip, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.AddrPort().Addr().Unmap(), ip.AddrPort().Port())
}
