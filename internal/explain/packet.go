// Package explain takes packets of Teltonika devices apart for people: byte by byte as text, or as JSON. It
// decodes what a capture holds, whole or cut off, right or wrong, and says what the server answers.
package explain

import (
	"errors"
	"fmt"
	"math"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Transport is how a packet travels.
type Transport string

// The transports. Auto is for input only: it tells TCP and UDP apart by the bytes.
const (
	Auto Transport = "auto"
	TCP  Transport = "tcp"
	UDP  Transport = "udp"
)

// Kind is what a packet is.
type Kind string

// The kinds of packets.
const (
	KindUnknown   Kind = ""
	KindKeepAlive Kind = "keepalive" // one byte FF
	KindLogin     Kind = "login"
	KindData      Kind = "data"    // a TCP frame or UDP channel packet
	KindAck       Kind = "ack"     // a server's answer to a UDP channel packet
	KindPadding   Kind = "padding" // zeros behind a packet, which somebody's buffer has left there
)

// maxLength is the longest data field that is decoded, in bytes: any that an int can count. The service's own
// limit is a setting; see [DefaultMaxFrame].
const maxLength = math.MaxInt32 - teltonika.HeaderSize - teltonika.TrailerSize

// udpHeaderSize is the number of bytes of a UDP channel packet before the IMEI.
const udpHeaderSize = 8

// Packet is one packet of an input line, decoded as far as it goes.
type Packet struct {
	Offset    int       // where Raw begins in the input line, in bytes
	Raw       []byte    // all its bytes; the rest of the line where its end cannot be found
	Transport Transport // TCP, UDP, or "" if the input is neither
	Kind      Kind

	Login    string              // KindLogin: the identifier
	Datagram teltonika.Datagram  // KindData over UDP
	Ack      teltonika.Answer    // KindAck
	AVL      *teltonika.AVLData  // KindData of an AVL codec; the records are empty if they do not decode
	Messages *teltonika.Messages // KindData of a message codec

	reader             *meaning.Reader // of an AVL codec: what the elements mean; see [Devices]
	bodyStart, bodyEnd int             // the data field in Raw; bodyEnd is past Raw if the packet is cut off, 0 if unknown
	problems           []error         // what is wrong, in the order of the server's checks; offsets from the line's start
	found              map[elementKey][]reading
	private            bool      // see HidePositions
	answered           *answered // nil if that is not known
}

// OK reports whether a server takes the packet as good.
func (p *Packet) OK() bool { return len(p.problems) == 0 }

// Err is what is wrong with the packet: nil if it is OK, else an error that names field and byte offset, counted
// from the start of the input line.
func (p *Packet) Err() error {
	switch len(p.problems) {
	case 0:
		return nil
	case 1:
		return p.problems[0]
	}
	return fmt.Errorf("%w; %w", p.problems[0], p.problems[1])
}

// Codec is the codec id, if the packet has one.
func (p *Packet) Codec() (teltonika.Codec, bool) {
	if p.bodyEnd == 0 || len(p.Raw) <= p.bodyStart {
		return 0, false
	}
	return teltonika.Codec(p.Raw[p.bodyStart]), true
}

// records are the AVL records, none if they do not decode.
func (p *Packet) records() []teltonika.Record {
	if p.AVL == nil {
		return nil
	}
	return p.AVL.Records
}

// Count is number of data 1, if the packet has it.
func (p *Packet) Count() (int, bool) {
	if p.bodyEnd == 0 || len(p.Raw) <= p.bodyStart+1 {
		return 0, false
	}
	return int(p.Raw[p.bodyStart+1]), true
}

// CRC reports whether the CRC of a TCP frame is right, known only if the frame is whole.
func (p *Packet) CRC() (ok, known bool) {
	if p.Transport != TCP || !p.whole() {
		return false, false
	}
	return !errors.Is(p.Err(), teltonika.ErrCRC), true
}

// whole reports whether all of a data packet is there.
func (p *Packet) whole() bool {
	if p.Kind != KindData || p.bodyEnd == 0 {
		return false
	}
	if p.Transport == TCP {
		return p.bodyEnd+teltonika.TrailerSize == len(p.Raw)
	}
	return p.bodyEnd-p.bodyStart >= teltonika.MinLength
}

// problem adds an error whose offset counts from base, a position in Raw. A nil error is none.
func (p *Packet) problem(base int, err error) {
	if err != nil {
		p.problems = append(p.problems, teltonika.Shift(err, p.Offset+base))
	}
}

// decodeFrame decodes the TCP frame that begins a packet whose Raw is the rest of the line, and cuts Raw to it.
func (p *Packet) decodeFrame() {
	p.Kind, p.bodyStart = KindData, teltonika.HeaderSize
	size, err := teltonika.ParseHeader(p.Raw, maxLength)
	if err != nil {
		p.problem(0, err)
		return
	}
	p.bodyEnd = size - teltonika.TrailerSize
	frame, _, err := teltonika.ParseFrame(p.Raw, maxLength)
	if err != nil {
		p.problem(0, err)
		return
	}
	p.Raw = frame
	p.problem(0, frame.Verify())
	p.decodeBody(frame.Body())
}

// decodeDatagram decodes Raw as a UDP channel packet, or as the answer to one.
func (p *Packet) decodeDatagram() {
	if ack, err := teltonika.ParseAnswer(p.Raw); err == nil {
		p.Kind, p.Ack = KindAck, ack
		return
	}
	p.Kind = KindData
	d, err := teltonika.ParseDatagram(p.Raw)
	p.Datagram = d
	if d.IMEI != "" {
		p.bodyStart, p.bodyEnd = d.BodyOffset(), d.BodyOffset()+len(d.Body)
	}
	if err != nil {
		p.problem(0, err)
		return
	}
	p.decodeBody(d.Body)
}

// decodeLogin decodes the login that begins a packet whose Raw is the rest of the line, and cuts Raw to it.
func (p *Packet) decodeLogin() {
	n, err := teltonika.ParseLoginLength(p.Raw)
	if err != nil {
		p.problem(0, err)
		return
	}
	p.Kind = KindLogin
	login := p.Raw[:min(2+n, len(p.Raw))]
	identifier, err := teltonika.ParseLogin(login)
	if err != nil {
		p.problem(0, err)
		return
	}
	p.Raw, p.Login = login, identifier
}

// decodeBody decodes the data field, which is whole.
func (p *Packet) decodeBody(body []byte) {
	var err error
	switch codec := teltonika.Codec(body[0]); {
	case codec.IsMessage():
		p.Messages = new(teltonika.Messages)
		err = p.Messages.Decode(body)
	case codec.IsAVL():
		p.AVL = new(teltonika.AVLData)
		if err = p.AVL.Decode(body); err != nil && !errors.Is(err, teltonika.ErrCount) {
			p.AVL.Records = nil
		}
	default:
		err = new(teltonika.AVLData).Decode(body)
	}
	p.problem(p.bodyStart, err)
}
