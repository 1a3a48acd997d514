package explain

import (
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// DefaultMaxFrame is the longest data field in bytes that the service accepts unless it is set otherwise.
const DefaultMaxFrame = 65536

// answered is what was sent back for a packet.
type answered struct {
	answer []byte
	reason string
}

// Answered tells what was sent back for the packet, nil if nothing, and the reason in a few words.
func (p *Packet) Answered(answer []byte, reason string) { p.answered = &answered{answer, reason} }

// Answer is what the service sends back for the packet, nil if nothing, and the reason in a few words. Unless that is
// told by Answered, it takes the device for a known one and the engine for a working one.
func (p *Packet) Answer() (answer []byte, reason string) {
	if p.answered != nil {
		return p.answered.answer, p.answered.reason
	}
	switch p.Kind {
	case KindKeepAlive:
		return nil, "a keep-alive is not answered"
	case KindPadding:
		return nil, "a server waits for the rest of a frame"
	case KindAck:
		return nil, "this is a server's answer"
	case KindLogin:
		if p.Login == "" {
			return nil, p.lostReason()
		}
		return teltonika.AppendLoginAnswer(nil, true), "login accepted; 00 would refuse the device"
	case KindData:
		return p.dataAnswer()
	}
	return nil, "not a packet"
}

func (p *Packet) dataAnswer() (answer []byte, reason string) {
	if length := p.bodyEnd - p.bodyStart; p.Transport == TCP && length > DefaultMaxFrame && !p.whole() {
		return nil, fmt.Sprintf("%d bytes are above MAX_FRAME_BYTES, %d by default: the connection is closed",
			length, DefaultMaxFrame)
	}
	codec, _ := p.Codec()
	count, _ := p.Count()
	switch err := p.Err(); {
	case !p.whole():
		return nil, p.lostReason()
	case errors.Is(err, teltonika.ErrCRC):
		return nil, "wrong CRC: the device sends again; three in a row close the connection"
	case codec.IsMessage():
		return nil, fmt.Sprintf("%s is not answered with a number of records", codecName(codec))
	case !codec.IsAVL():
		return nil, "unknown codec: stored as a dead letter, then the connection is closed"
	case err != nil:
		reason = "once stored as a dead letter; unanswered, the device would send it for ever"
	case count == 0:
		reason = "no records: nothing to store"
	default:
		reason = fmt.Sprintf("%s, once stored", plural(count, "record"))
	}
	if p.Transport == UDP {
		return p.Datagram.AppendAnswer(nil, count), reason
	}
	if p.bodyEnd-p.bodyStart > DefaultMaxFrame {
		reason += fmt.Sprintf("; only if MAX_FRAME_BYTES is raised above %d", DefaultMaxFrame)
	}
	return teltonika.AppendAck(nil, count), reason
}

// lostReason says what becomes of a packet whose end cannot be found.
func (p *Packet) lostReason() string {
	switch {
	case errors.Is(p.Err(), teltonika.ErrIncomplete):
		return "the packet is cut off"
	case p.Transport == UDP:
		return "not a packet of a device"
	}
	return "the server closes the connection"
}

// plural is a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// codecName is the codec's name in full.
func codecName(c teltonika.Codec) string {
	switch c {
	case teltonika.Codec7:
		return "Codec 7 (GH devices)"
	case teltonika.Codec8E:
		return "Codec 8 Extended"
	}
	return "Codec " + c.String()
}
