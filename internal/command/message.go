package command

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Message is what a device sends beside its records and may be the answer to a command.
type Message struct {
	IMEI     string          // of the connection, or as a datagram claims
	Claimed  bool            // it came in a datagram, so nobody vouches for the IMEI
	Codec    teltonika.Codec // 12 to 15
	Type     byte
	Named    string // the IMEI in it, Codec 14 and 15 only
	Sent     uint32 // s since 1970 UTC by the device's clock, Codec 13 and 15 only
	Payload  []byte
	Received time.Time

	match chan Match // gets what it is, if somebody waits for that
}

// MayAnswer reports whether the message has the form of an answer to some command.
func (m *Message) MayAnswer() bool {
	switch {
	case m.Codec == teltonika.Codec15, m.Claimed:
		return false
	case m.Type == teltonika.TypeNack:
		return m.Codec == teltonika.Codec14
	case m.Codec == teltonika.Codec14 && m.Named != m.IMEI:
		return false
	}
	return m.Type == teltonika.TypeResponse
}

// Answers reports whether the message, which MayAnswer, has the form of an answer to a command of the given codec: a
// device answers Codec 14 in Codec 14, and Codec 12 in Codec 12, or 13 when it is set to send times.
func (m *Message) Answers(c teltonika.Codec) bool {
	return (m.Codec == teltonika.Codec14) == (c == teltonika.Codec14)
}

// Match says what a message of a device is.
type Match string

// What a message is.
const (
	MatchAnswer Match = "answer"      // of the command in flight, which is Answered or Nacked with it
	MatchLate   Match = "late_answer" // of a command that has its final result already
	MatchNone   Match = "message"     // of the device's own accord, which is no matter of commands
)

// MaxEventPayload is how much of an event's payload a store keeps, in bytes.
const MaxEventPayload = 4 << 10

// Event is an answer that came too late to be one.
type Event struct {
	Message
	Kind    Match  // MatchLate; MatchNone in events of earlier versions
	Command string // the id of the command that it is the late answer of
}
