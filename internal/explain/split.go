package explain

import (
	"bytes"
	"errors"
	"iter"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// ErrUnrecognised says that the input is no packet of a Teltonika device.
var ErrUnrecognised = errors.New("first bytes at byte 0: neither a TCP frame nor a login nor a UDP packet")

// Line returns the packets that a text in hex holds, as those of [Devices.Line] of which nothing is known.
func Line(text string, t Transport) iter.Seq[*Packet] { return new(Devices).Line(text, t) }

// Packets returns the packets that the input holds, as those of [Devices.Packets] of which nothing is known.
func Packets(input []byte, t Transport) iter.Seq[*Packet] { return new(Devices).Packets(input, t) }

// split takes the input apart.
func split(input []byte, t Transport) iter.Seq[*Packet] {
	return func(yield func(*Packet) bool) {
		if t == Auto && len(input) > 0 {
			t = detect(input)
		}
		whole := false // the packet before is a login or frame
		for offset := 0; offset < len(input); {
			p := &Packet{Offset: offset, Raw: input[offset:], Transport: t}
			switch {
			case t == TCP && whole && isPadding(p.Raw):
				p.Kind = KindPadding
			case t == TCP:
				p.decodeStream()
			case t == UDP:
				p.decodeDatagram()
			default:
				p.problem(0, ErrUnrecognised)
			}
			whole = p.Kind == KindData || p.Kind == KindLogin
			if !yield(p) {
				return
			}
			offset += len(p.Raw)
		}
	}
}

// isPadding reports whether the rest is zeros and nothing else. No frame is that: the length behind its preamble is
// not 0.
func isPadding(rest []byte) bool { return len(bytes.TrimLeft(rest, "\x00")) == 0 }

// decodeStream decodes what begins the rest of a TCP stream. The vendor's devices begin a login with a length that
// is not zero and a frame with four zero bytes.
func (p *Packet) decodeStream() {
	switch b := p.Raw; {
	case b[0] == teltonika.KeepAlive:
		p.Kind, p.Raw = KindKeepAlive, b[:1]
	case len(b) >= 2 && b[0] == 0 && b[1] == 0:
		p.decodeFrame()
	default:
		p.decodeLogin()
	}
}

// detect tells by the bytes, of which there is at least one, how they travelled; it returns "" if in no known way. A
// datagram is tried first, because one with a length and packet id of zero begins like a frame. Logins and frames
// do not pass for datagrams: where those have the IMEI's length, they have digits or the length of a data field
// that does not begin with an IMEI.
func detect(b []byte) Transport {
	d, err := teltonika.ParseDatagram(b)
	switch {
	case err == nil && decodable(teltonika.Codec(d.Body[0])):
		return UDP
	case b[0] == teltonika.KeepAlive || beginsZero(b):
		return TCP
	case isAck(b):
		return UDP
	case err == nil, len(b) >= udpHeaderSize && errors.Is(err, teltonika.ErrIncomplete):
		return UDP
	case beginsLogin(b), len(b) >= 2 && b[0] == 0 && b[1] == 0:
		return TCP
	case errors.Is(err, teltonika.ErrIncomplete):
		return UDP
	}
	return ""
}

func decodable(c teltonika.Codec) bool { return c.IsAVL() || c.IsMessage() }

// beginsZero reports whether b begins with a frame's preamble, or with as much of it as there is.
func beginsZero(b []byte) bool {
	for _, c := range b[:min(4, len(b))] {
		if c != 0 {
			return false
		}
	}
	return true
}

// beginsLogin reports whether b begins with a login's length and, if it goes on, with a character of an identifier.
func beginsLogin(b []byte) bool {
	if _, err := teltonika.ParseLoginLength(b); err != nil {
		return false
	}
	if len(b) == 2 {
		return true
	}
	_, err := teltonika.ParseLogin([]byte{0, 1, b[2]})
	return err == nil
}

// isAck reports whether b is the answer to a datagram; no login has the byte 01.
func isAck(b []byte) bool {
	_, err := teltonika.ParseAnswer(b)
	return err == nil && b[4] == 1
}
