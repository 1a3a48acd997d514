package teltonikasession

import (
	"fmt"
	"log/slog"
	"net/netip"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
)

// source says whose a packet is, how it came, and what of it is not yet in the books: what is still known when its
// bytes are gone. Its codec is 0 if the packet was not read to its end.
type source struct {
	record.Origin
	device      *devices.Device    // nil without Options.Devices
	last        devices.LastRecord // of the packet's, the one with the latest timestamp
	onList      bool               // the device is on the list
	remote      fmt.Stringer       // its sender's address
	network     netip.Addr         // what that is held responsible by; invalid if nobody is
	stats       *transportMetrics
	deadLetters *deadLetterQuota // of those who are to be trusted as much as its sender
	quota       *publish.Quota   // of the queue; nil for no limit but the queue's own

	first      []byte // what the packet begins with, while it is at hand
	deadLetter string // the reason for which the packet is stored as a dead letter; empty if it is not
	items      int    // records or messages counted as received, and not yet as anything else
	lost       int    // records that only the dead letter has
	fate       fate
}

// source is that of the frames that come by the session.
func (s *session) source() source {
	o := source{
		Origin: record.Origin{DeviceID: s.device.imei, Transport: engine.TCP, Meaning: s.meaningOf(s.device.known)},
		device: s.device.known, onList: s.known && s.Listed,
		remote: s.conn.RemoteAddr(), network: s.conn.Network(), stats: s.Metrics.of(s.conn.Transport()),
		deadLetters: s.deadLetters,
	}
	if s.Listed && !s.known {
		o.deadLetters = s.strangersDeadLetters
	}
	return o
}

// receive counts n items as received.
func (o *source) receive(n int) {
	o.items = n
	if o.Codec.IsMessage() {
		o.stats.messagesReceived(o.Codec, n)
	} else {
		o.stats.received(o.Codec, n)
	}
}

// refuse counts the items that are in no other book.
func (o *source) refuse(reason string) {
	if o.items == 0 {
		return
	}
	o.device.Refused(reason, o.items)
	switch {
	case o.Codec.IsMessage():
		o.stats.messagesRefused(o.Codec, reason, o.items)
	default:
		o.stats.refused(reason, o.items)
	}
	o.items, o.fate = 0, fate{tap.Refused, reason}
}

// stored counts what a frame of the publisher's has come to.
func (o *source) stored(outcome publish.Outcome) {
	o.remember(outcome)
	o.settled(outcome)
	switch {
	case o.deadLetter != "" && o.Codec.IsMessage():
		o.stats.messagesDeadLettered(o.Codec, o.items)
	case o.deadLetter != "":
		o.stats.deadLettered(o.deadLetter, o.items)
	case o.Codec.IsMessage(): // of which there may be more
		o.stats.messagesStored(o.Codec, outcome.Messages)
		o.items -= outcome.Messages
		return
	default:
		o.stats.stored(o.Codec, outcome, o.lost)
	}
	o.items = 0
}

// remote is an address in the log. It is made a text only in a line that is written.
type remote struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (r remote) LogValue() slog.Value { return slog.StringValue(r.String()) }
